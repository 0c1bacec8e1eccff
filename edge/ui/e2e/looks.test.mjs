// Every page in both themes, both languages and all widths.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Gateway } from "./gateway.mjs";
import { look, PERSONS, personName } from "./looks.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

/** A heading or a sentence of each page, by which it is recognised. */
const SAID = {
  en: {
    token: "Gateway token missing",
    pairing: "Pairing required",
    devices: "Devices",
    backup: "Backup",
    ask: "log",
  },
  "zh-CN": {
    token: "缺少网关令牌",
    pairing: "需要配对",
    devices: "设备",
    backup: "备份",
    ask: "日志",
  },
};

let browser;
let gateway;

before(async () => {
  gateway = await Gateway.start();
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await gateway?.close();
});

for (const person of PERSONS) {
  const name = personName(person);
  const said = SAID[person.lang];

  test(`${name}: the pages before the door opens`, async () => {
    const stranger = await Visitor.open(browser, gateway, person);
    await stranger.goto("/");
    await stranger.page.getByRole("heading", { name: said.token }).waitFor();
    await look(stranger, stranger.page, person, "token");
    await stranger.goto(`/?token=${await gateway.token()}`);
    await stranger.page.getByRole("heading", { name: said.pairing }).waitFor();
    await look(stranger, stranger.page, person, "pairing");
    await stranger.leave();
  });

  test(`${name}: the chat and the administration`, async () => {
    const visitor = await Visitor.open(browser, gateway, person);
    await visitor.enter();
    await visitor.ask(said.ask);
    await look(visitor, visitor.page, person, "chat");
    const { page } = visitor;
    await visitor.goto("/_admin/");
    await page.getByRole("heading", { name: said.devices, exact: true }).waitFor();
    // The browser of the test before still waits at the door.
    await page.locator(".pend").first().waitFor();
    await page.locator(".pend summary").first().click();
    await look(visitor, page, person, "devices");
    await visitor.goto("/_admin/backup");
    await page.getByRole("heading", { name: said.backup, exact: true }).waitFor();
    await page.locator(".facts").waitFor();
    await look(visitor, page, person, "backup");
    await visitor.leave();
  });
}

test("theme and language can be chosen and are kept", async () => {
  const visitor = await Visitor.open(browser, gateway);
  await visitor.enter();
  const { page } = visitor;
  const paper = () =>
    page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await paper();
  await page.getByLabel("Theme").first().selectOption("dark");
  assert.notEqual(await paper(), light);
  await page.getByLabel("Language").first().selectOption("zh-CN");
  await page.getByLabel("消息", { exact: true }).waitFor();
  await page.reload();
  await page.getByLabel("消息", { exact: true }).waitFor();
  assert.notEqual(await paper(), light);
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
  await visitor.leave();
});
