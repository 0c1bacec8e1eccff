// The conversation: the first browser, words as they come, what is kept, and stopping.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Cable } from "./cable.mjs";
import { Gateway, until } from "./gateway.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

let browser;
let gateway;
let cable;
let visitor;

before(async () => {
  gateway = await Gateway.start();
  browser = await openBrowser();
  cable = await Cable.to(gateway);
  visitor = await Visitor.open(browser, cable);
});

after(async () => {
  await browser?.close();
  await cable?.cut();
  await gateway?.close();
});

test("the one-time link lets the first browser in and leaves no trace in the address", async () => {
  await visitor.enter();
  assert.equal(visitor.page.url(), cable.url("/"));
  await visitor.text("Nothing here yet.", false).waitFor();
  await visitor.shot("chat-empty");
});

test("an answer grows as it is produced", async () => {
  await visitor.say("essay");
  const lengths = new Set();
  await until("three lengths of the same answer", async () => {
    const text = await visitor.growing.innerText({ timeout: 100 }).catch(() => "");
    if (text) lengths.add(text.length);
    return lengths.size >= 3;
  });
  const sizes = [...lengths];
  assert.deepEqual(
    sizes,
    [...sizes].sort((a, b) => a - b),
    "words never disappear",
  );
  await visitor.button("Stop").click();
  await visitor.quiet();
});

test("a message is on the page before the gateway has it, and its number comes after", async () => {
  const { page } = visitor;
  cable.hold();
  await visitor.say("echo optimistic");
  const mine = page.locator(".message").filter({ hasText: "echo optimistic" });
  await mine.getByText("Sending…", { exact: false }).waitFor();
  assert.equal(await visitor.composer.inputValue(), "");
  assert.equal(await mine.locator("a.seq").count(), 0);
  cable.letGo();
  await mine.locator("a.seq").waitFor();
  assert.match(await mine.locator("a.seq").innerText(), /^#\d+$/);
  assert.equal(await mine.count(), 1);
  await visitor.quiet();
});

test("tables, code and copying", async () => {
  const { page } = visitor;
  await visitor.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await visitor.ask("log");
  const answer = visitor.messages.last();
  assert.ok((await answer.locator("table tbody tr").count()) >= 3);
  await answer.getByRole("button", { name: "Copy code" }).press("Enter");
  await answer.getByText("Copied").waitFor();
  const code = await answer.locator("pre").innerText();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied.trim(), code.trim());
  assert.match(code.trim(), /^[0-9a-f]{64}$/);
  await visitor.shot("chat-table");
  // What the button says is part of the transcript that is compared below.
  await answer
    .getByRole("button", { name: "Copy code" })
    .getByText("Copy", { exact: true })
    .waitFor();
});

test("Stop and Escape keep what was said and mark it", async () => {
  for (const stop of [
    () => visitor.button("Stop").click(),
    () => visitor.page.keyboard.press("Escape"),
  ]) {
    await visitor.say("count to 500");
    await visitor.growing.getByText("11 12 13", { exact: false }).waitFor();
    await stop();
    await visitor.quiet();
    const last = visitor.messages.last();
    await last.getByText("Stopped", { exact: true }).waitFor();
    const kept = await last.locator(".prose").innerText();
    assert.match(kept, /^1 2 3 4 5 6 7 8 9 10\s11 12 13/);
    assert.ok(!kept.includes("500"));
    assert.ok(await visitor.button("Send").isVisible());
  }
  await visitor.shot("chat-stopped");
});

test("markup in a message stays text", async () => {
  const { page } = visitor;
  const evil = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) <script>alert(2)</script>";
  await visitor.ask(`echo ${evil}`);
  const answer = visitor.messages.last();
  await answer.getByText("<img src=x onerror=alert(1)>", { exact: false }).waitFor();
  const found = await page.locator("main").evaluate((main) => ({
    images: main.querySelectorAll("img, script, iframe").length,
    links: [...main.querySelectorAll("a")].filter((a) => a.protocol === "javascript:").length,
  }));
  assert.deepEqual(found, { images: 0, links: 0 });
});

test("after a reload the same conversation is there", async () => {
  const shown = await visitor.transcript();
  assert.ok(shown.length >= 10);
  await visitor.page.reload();
  await visitor.messages.nth(shown.length - 1).waitFor();
  assert.deepEqual(await visitor.transcript(), shown);
});

test("nothing complained", async () => {
  await visitor.leave();
  assert.match(await gateway.run("log", "verify"), /\d/);
});
