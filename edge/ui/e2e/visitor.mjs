// A person with a browser of their own: a fresh profile, a page, and everything it complained about.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const SHOTS = process.env.MOLTBOT_SHOTS;
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** What Chromium itself reports while the gateway is away, which some tests want it to be. */
const OUTAGE =
  /ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE|ERR_INTERNET_DISCONNECTED|ERR_NETWORK_IO_SUSPENDED|WebSocket connection to|503 \(Service Unavailable\)/;
/** What Chromium itself reports when a link was refused, which one test wants. */
const REFUSAL = /403 \(Forbidden\)/;

export function openBrowser() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  assert.ok(existsSync(executablePath), `no Chromium at ${executablePath}; set CHROMIUM`);
  return chromium.launch({ executablePath, args: ARGS });
}

export const WORDS = {
  en: { message: "Message", send: "Send", stop: "Stop", writing: "writing" },
  "zh-CN": { message: "消息", send: "发送", stop: "停止", writing: "正在书写" },
};

export class Visitor {
  /** Options: width, height, dark, lang, touch; `outage`, `refusal`: what will happen to it. */
  static async open(browser, gateway, options = {}) {
    const { width = 1280, height = 800, dark = false, lang = "en", touch = false } = options;
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? "dark" : "light",
      locale: lang,
      hasTouch: touch,
      isMobile: touch,
    });
    context.setDefaultTimeout(10_000);
    const visitor = new Visitor(context, gateway, options);
    visitor.page = await context.newPage();
    return visitor;
  }

  problems = [];
  page = null;

  constructor(context, gateway, options) {
    this.context = context;
    this.gateway = gateway;
    this.expected = [options.outage && OUTAGE, options.refusal && REFUSAL].filter(Boolean);
    this.words = WORDS[options.lang ?? "en"];
    context.on("page", (page) => this.watch(page));
  }

  watch(page) {
    page.on("console", (message) => {
      const text = message.text();
      if (!["error", "warning"].includes(message.type())) return;
      if (!this.expected.some((known) => known.test(text)))
        this.problems.push(`${message.type()}: ${text}`);
    });
    page.on("pageerror", (error) => this.problems.push(`error: ${error.stack ?? error.message}`));
    page.on("dialog", (dialog) => {
      this.problems.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      const ours = origin === new URL(this.gateway.url()).origin;
      if (!ours && protocol.startsWith("http")) this.problems.push(`request: ${request.url()}`);
    });
  }

  /** Comes in by a one-time link and waits for the chat. */
  async enter() {
    await this.page.goto(await this.gateway.link());
    await this.composer.waitFor();
    return this;
  }

  async goto(path) {
    await this.page.goto(this.gateway.url(path));
  }

  get composer() {
    return this.page.getByLabel(this.words.message, { exact: true });
  }

  /** The answer that is being written. */
  get growing() {
    return this.page.locator(".growing");
  }

  get messages() {
    return this.page.locator(".message");
  }

  button(name, exact = true) {
    return this.page.getByRole("button", { name, exact });
  }

  async say(text) {
    await this.composer.fill(text);
    await this.composer.press("Enter");
  }

  /** Says it and waits for the whole answer. */
  async ask(text) {
    const before = await this.messages.count();
    await this.say(text);
    await this.messages.nth(before + 1).waitFor();
    await this.quiet();
  }

  /** Waits until no answer is being written. */
  async quiet() {
    await this.page.locator("[aria-busy=true]").waitFor({ state: "detached" });
  }

  /** What the transcript says, without the times. */
  transcript() {
    return this.page.locator(".prose").allInnerTexts();
  }

  text(words, exact = true) {
    return this.page.getByText(words, { exact });
  }

  /** The code on the page of a browser that waits. */
  async pairingCode() {
    const code = this.page.locator(".gate .code6");
    await code.waitFor();
    return code.innerText();
  }

  /** A second tab, on a page of the administration. */
  async openAdmin(path = "/_admin/") {
    const admin = await this.context.newPage();
    await admin.goto(this.gateway.url(path));
    await admin.locator(".admin-body").waitFor();
    return admin;
  }

  shot(name) {
    return this.shotOf(this.page, name);
  }

  async shotOf(page, name) {
    if (!SHOTS) return;
    await mkdir(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  }

  /** Leaves; whatever the pages complained about fails the test. */
  async leave() {
    await this.context.close();
    assert.deepEqual(this.problems, []);
  }
}
