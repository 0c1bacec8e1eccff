import { act, cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import * as connection from "../gate/connection";
import { follower, hello, link, shipped } from "../gate/connection";
import { ReadOnly } from "../gate/ReadOnly";
import { chooseLanguage, startLanguage } from "../i18n";
import { now } from "../kit/clock";
import { DevBanner } from "../kit/DevBanner";
import { foldRecord } from "../model/reduce";
import { emptyTranscript } from "../model/transcript";
import type { Hello } from "../wire/frames";
import { Composer, isSendKey } from "./Composer";
import { listener } from "./listen";
import { keyOf, pathOf } from "./route";
import { outbox } from "./sending";
import { loading, transcript } from "./state";
import { Transcript } from "./Transcript";
import { words } from "./words";

vi.mock("../gate/connection", { spy: true });

const KEY = "agent:main:main";
const LET_IN = { auth: { scopes: ["operator.write"] } } as unknown as Hello;

beforeAll(() => {
  startLanguage(words);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
});
beforeEach(() => {
  localStorage.clear();
  link.value = { at: "waiting", retryAt: 0, restart: false };
  hello.value = LET_IN;
  outbox.value = [];
  transcript.value = emptyTranscript(KEY);
  loading.value = "no";
  shipped.value = 0;
  follower.value = null;
});
afterEach(cleanup);

function key(init: KeyboardEventInit & { keyCode?: number }): KeyboardEvent {
  return new KeyboardEvent("keydown", { key: "Enter", ...init });
}

describe("Enter", () => {
  it("sends, but not the one that ends a word of an input method", () => {
    expect(isSendKey(key({}))).toBe(true);
    expect(isSendKey(key({ isComposing: true }))).toBe(false);
    expect(isSendKey(key({ keyCode: 229 }))).toBe(false);
    expect(isSendKey(key({ shiftKey: true }))).toBe(false);
  });

  it("leaves a composition alone and sends after it", () => {
    render(<Composer onSend={() => {}} />);
    const field = screen.getByRole("textbox", { name: "Message" });
    fireEvent.compositionStart(field);
    fireEvent.input(field, { target: { value: "你好" } });
    fireEvent.keyDown(field, { key: "Enter", isComposing: true });
    expect(outbox.value).toHaveLength(0);
    fireEvent.compositionEnd(field);
    fireEvent.keyDown(field, { key: "Enter", keyCode: 229 });
    expect(outbox.value).toHaveLength(0);
    fireEvent.keyDown(field, { key: "Enter" });
    expect(outbox.value.map((item) => item.text)).toEqual(["你好"]);
  });
});

describe("a draft", () => {
  it("is there again after a reload, and gone once sent", () => {
    const first = render(<Composer onSend={() => {}} />);
    fireEvent.input(screen.getByRole("textbox"), { target: { value: "half a thou" } });
    first.unmount();
    render(<Composer onSend={() => {}} />);
    expect(screen.getByRole<HTMLTextAreaElement>("textbox").value).toBe("half a thou");
    fireEvent.click(screen.getByRole("button", { name: "Send" }));
    expect(screen.getByRole<HTMLTextAreaElement>("textbox").value).toBe("");
    expect(localStorage.getItem(`moltbot.draft.${KEY}`)).toBeNull();
  });

  it("cannot be written without the permission, and says why", () => {
    hello.value = { auth: { scopes: ["operator.read"] } } as unknown as Hello;
    render(<Composer onSend={() => {}} />);
    expect(screen.queryByRole("textbox")).toBeNull();
    expect(screen.getByText(/may read but not write/)).toBeTruthy();
  });
});

function arrive(kind: string, seq: number, data: Record<string, unknown>) {
  act(() => listener.records([{ seq, at: seq, kind, data: { session_key: KEY, ...data } }]));
}

const ask = [
  {
    seq: 1,
    at: 1,
    kind: "message_received",
    data: { session_key: KEY, idempotency_key: "r", text: "?" },
  },
  { seq: 2, at: 2, kind: "run_started", data: { session_key: KEY, run_id: "r" } },
];

describe("a message", () => {
  it("is shown at once, kept, and becomes the recorded one in the same place", () => {
    render(<Composer onSend={() => {}} />);
    render(<Transcript follow={{ current: null }} />);
    fireEvent.input(screen.getByRole("textbox"), { target: { value: "Hello" } });
    fireEvent.click(screen.getByRole("button", { name: "Send" }));
    expect(screen.getAllByRole("article")).toHaveLength(1);
    expect(screen.getByText(/Waits for the connection/)).toBeTruthy();
    const id = outbox.value[0]?.key;
    expect(localStorage.getItem("moltbot.outbox.v1")).toContain(id);
    const row = screen.getByRole("listitem");
    arrive("message_received", 7, { idempotency_key: id, text: "Hello" });
    expect(screen.getAllByRole("article")).toHaveLength(1);
    expect(screen.getByRole("listitem")).toBe(row);
    expect(screen.getByRole("link", { name: "Event #7" })).toBeTruthy();
    expect(outbox.value[0]).toMatchObject({ state: "taken", seq: 7 });
  });

  it("is marked until the backup has it", () => {
    transcript.value = ask.reduce(foldRecord, emptyTranscript(KEY));
    render(<Transcript follow={{ current: null }} />);
    const mark = () => screen.getByRole("link", { name: "Event #1" });
    expect(mark().title).toBe("Event #1, not backed up yet");
    expect(mark().className).toContain("unsaved");
    act(() => {
      shipped.value = 1;
    });
    expect(mark().title).toBe("");
    expect(mark().className).not.toContain("unsaved");
  });

  it("can be taken back while it waits", () => {
    outbox.value = [{ key: "k", sessionKey: KEY, text: "x", at: 1, state: "waiting", seq: null }];
    render(<Transcript follow={{ current: null }} />);
    fireEvent.click(screen.getByRole("button", { name: "Remove" }));
    expect(outbox.value).toHaveLength(0);
  });
});

describe("an answer", () => {
  it("is busy while it grows and has no live region around it", () => {
    transcript.value = ask.reduce(foldRecord, emptyTranscript(KEY));
    const { container } = render(<Transcript follow={{ current: null }} />);
    const message = { content: "Half an ans" };
    act(() => listener.event("chat", { runId: "r", sessionKey: KEY, state: "delta", message }));
    const article = screen.getByText("Half an ans").closest("article");
    expect(article?.getAttribute("aria-busy")).toBe("true");
    expect(container.querySelector("[aria-live],[role=log],[role=status]")).toBeNull();
  });

  it.each([
    ["run_interrupted", "Retry", "The gateway stopped before this answer was finished."],
    ["run_failed", "Retry", "The model could not answer."],
  ])("that ended by %s offers %s", (kind, button, words) => {
    transcript.value = ask.reduce(foldRecord, emptyTranscript(KEY));
    render(<Transcript follow={{ current: null }} />);
    arrive(kind, 3, { run_id: "r" });
    expect(screen.getByRole("button", { name: button })).toBeTruthy();
    expect(screen.getByText(words)).toBeTruthy();
  });

  it("that failed for a key says which one, in the gateway's words", async () => {
    transcript.value = ask.reduce(foldRecord, emptyTranscript(KEY));
    render(<Transcript follow={{ current: null }} />);
    const error_message =
      "The model provider refused the API key in ANTHROPIC_API_KEY; set another.";
    arrive("run_failed", 3, { run_id: "r", error_code: "model_auth", error_message });
    expect(screen.getByText(error_message)).toBeTruthy();
    await act(() => chooseLanguage("zh-CN"));
    expect(screen.getByText(`模型服务不接受这个 API 密钥。${error_message}`)).toBeTruthy();
    await act(() => chooseLanguage("en"));
  });

  it("that was stopped keeps its words and offers nothing", () => {
    transcript.value = ask.reduce(foldRecord, emptyTranscript(KEY));
    render(<Transcript follow={{ current: null }} />);
    arrive("run_cancelled", 3, { run_id: "r", text: "Half" });
    expect(screen.getByText("Half")).toBeTruthy();
    expect(screen.getByText("Stopped")).toBeTruthy();
    expect(screen.queryByRole("button")).toBeNull();
  });
});

describe("states of the view", () => {
  it("says loudly that everybody is let in, and only then", () => {
    const { rerender } = render(<DevBanner />);
    expect(screen.queryByText(/DEV_MODE/)).toBeNull();
    hello.value = { ...LET_IN, moltbot: { devMode: true } } as unknown as Hello;
    rerender(<DevBanner />);
    expect(screen.getByText(/^DEV_MODE is on/).className).toContain("loud");
  });

  it("says how it fills, and what failed, in both languages", async () => {
    render(<Transcript follow={{ current: null }} />);
    expect(screen.getByText("Nothing here yet. Write the first message below.")).toBeTruthy();
    act(() => {
      loading.value = "failed";
    });
    expect(screen.getByText("The messages could not be loaded.")).toBeTruthy();
    await act(() => chooseLanguage("zh-CN"));
    expect(screen.getByText("消息未能加载。")).toBeTruthy();
    expect(screen.getByRole("button", { name: "重试" })).toBeTruthy();
    await act(() => chooseLanguage("en"));
  });
});

describe("addresses", () => {
  it("keep the session readable, whatever its key", () => {
    expect(pathOf("agent:main:web:x1")).toBe("/s/agent:main:web:x1");
    expect(keyOf(pathOf("a/b c?#"))).toBe("a/b c?#");
    expect([keyOf("/"), keyOf("/pair"), keyOf("/s/%E0%A4%A")]).toEqual([null, null, null]);
  });
});

describe("what was forgotten", () => {
  const mark = { seq: 9, at: Date.UTC(2026, 10, 22), by: "device:d", byName: "Laptop" };
  const ask = (forgotten: object | undefined, text: string) => ({
    seq: 2,
    at: 1,
    kind: "message_received",
    data: { session_key: KEY, run_id: "r", text, forgotten },
  });

  it("is a line that says when and by whom, in both languages, and no empty bubble", async () => {
    transcript.value = foldRecord(transcript.value, ask(mark, ""));
    render(<Transcript follow={{ current: null }} />);
    expect(screen.getByText(/^Forgotten on .*2026.* by Laptop$/)).toBeTruthy();
    await act(() => chooseLanguage("zh-CN"));
    expect(screen.getByText(/^此内容已于.*2026.*由Laptop永久遗忘$/)).toBeTruthy();
    await act(() => chooseLanguage("en"));
  });

  it("is not tried again", () => {
    const end = { session_key: KEY, run_id: "r", text: "", error_code: "forgotten" };
    const failed = { seq: 3, at: 2, kind: "run_failed", data: { ...end, forgotten: mark } };
    transcript.value = foldRecord(foldRecord(transcript.value, ask(mark, "")), failed);
    render(<Transcript follow={{ current: null }} />);
    expect(screen.queryByRole("button", { name: "Retry" })).toBeNull();
    expect(screen.getAllByText(/^Forgotten on/)).toHaveLength(2);
  });

  it("is taken off the page as soon as it is forgotten", async () => {
    link.value = { at: "online" };
    transcript.value = foldRecord(transcript.value, ask(undefined, "secret words"));
    const asked: string[] = [];
    vi.mocked(connection.request).mockImplementation(async (method) => {
      asked.push(method);
      const content = [{ type: "text", text: "[forgotten]" }];
      const line = { role: "user", content, timestamp: 1, __openclaw: { seq: 2, forgotten: mark } };
      const cursor = { seq: 9, hash: "" };
      return { sessionKey: KEY, messages: [line], cursor, sessions: [] } as never;
    });
    render(<Transcript follow={{ current: null }} />);
    expect(screen.getByText("secret words")).toBeTruthy();
    await act(async () => {
      listener.records?.([{ seq: 9, at: 3, kind: "content_forgotten", data: {} }]);
    });
    expect(asked).toContain("chat.history");
    expect(screen.queryByText("secret words")).toBeNull();
    expect(screen.getByText(/^Forgotten on/)).toBeTruthy();
    expect(JSON.stringify(transcript.value)).not.toContain("secret words");
  });
});

describe("a read-only copy", () => {
  it("says how old it may be, in both languages, and takes no message", async () => {
    now.value = 100_000;
    follower.value = { writer: "gw-1", behindSince: 97_500 };
    const { container } = render(<ReadOnly />);
    expect(container.textContent).toBe(
      "Read-only copy, up to 3\u00a0s behind. The log is written by gw-1.",
    );
    act(() => {
      now.value = 160_000;
    });
    expect(container.textContent).toContain("1\u00a0min");
    render(<Composer onSend={() => {}} />);
    expect(screen.queryByRole("textbox")).toBeNull();
    expect(screen.getByText("This copy only reads. Messages go to the gateway gw-1.")).toBeTruthy();
    await act(() => chooseLanguage("zh-CN"));
    expect(container.textContent).toContain("只读副本");
    await act(() => chooseLanguage("en"));
  });
});
