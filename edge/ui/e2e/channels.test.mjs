// Chat platforms and the people on them, and the mode in which everybody is let in.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Gateway, until } from "./gateway.mjs";
import { look, PERSONS, personName } from "./looks.mjs";
import { Telegram } from "./telegram.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

let browser;
let telegram;
let gateway;

before(async () => {
  telegram = await Telegram.start();
  gateway = await Gateway.start({
    DEV_MODE: "true",
    TELEGRAM_BOT_TOKEN: "4711:the-token-of-the-browser-tests-12345",
    TELEGRAM_API_URL: telegram.url,
  });
  browser = await openBrowser();
  telegram.say(7, "Li Wei", "hello");
  telegram.say(8, "Ada", "hello");
});

after(async () => {
  await browser?.close();
  await gateway?.close();
  telegram?.close();
});

const section = (page) => page.locator("section[aria-labelledby=channels]");
const person = (page, name) =>
  page.locator("section[aria-labelledby=people] tr", { hasText: name });

for (const one of PERSONS) {
  test(`${personName(one)}: the banner, the channels, the people`, async () => {
    const visitor = await Visitor.open(browser, gateway, one);
    await visitor.enter();
    await visitor.page.locator(".banner.loud").waitFor();
    await look(visitor, visitor.page, one, "dev-chat");
    await visitor.goto("/_admin/");
    const { page } = visitor;
    await page.locator(".banner.loud").waitFor();
    await person(page, "Li Wei").waitFor();
    await section(page).locator(".tag.good").waitFor();
    await section(page).scrollIntoViewIfNeeded();
    await look(visitor, page, one, "channels");
    await visitor.leave();
  });
}

test("a person is the operator and a guest again, and has a name all the time", async () => {
  const visitor = await Visitor.open(browser, gateway);
  await visitor.goto("/_admin/");
  const { page } = visitor;
  await page.getByRole("button", { name: "This is me: Ada" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "This is me" }).click();
  await person(page, "Ada").getByText("you", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Guest: Ada, not me" }).click();
  await page.getByRole("button", { name: "This is me: Ada" }).waitFor();
  assert.equal(await person(page, "Ada").getByText("you", { exact: true }).count(), 0);
  await visitor.leave();
});

test("a platform that fails, comes back and refuses is told as it happens", async () => {
  const visitor = await Visitor.open(browser, gateway);
  await visitor.goto("/_admin/");
  const shown = section(visitor.page);
  await shown.getByText("Receiving").waitFor();
  telegram.refuse(502, "Bad Gateway");
  await shown.getByText("Failing, keeps trying").waitFor();
  await shown.getByText("Telegram cannot be reached", { exact: false }).waitFor();
  await look(visitor, visitor.page, PERSONS[0], "channel-failing");
  telegram.refuse(null);
  telegram.say(9, "Bo", "hello");
  await shown.getByText("Receiving").waitFor();
  await person(visitor.page, "Bo").waitFor();
  telegram.refuse(401, "Unauthorized");
  await shown.getByText("Stopped").waitFor();
  await shown.getByText("check TELEGRAM_BOT_TOKEN", { exact: false }).waitFor();
  await look(visitor, visitor.page, PERSONS[0], "channel-stopped");
  await until("the log says so", () => gateway.log.includes("does not receive"));
  await visitor.leave();
});
