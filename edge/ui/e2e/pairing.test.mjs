// Who may come in: a second browser asks, somebody decides, and both see it happen at once.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Gateway } from "./gateway.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

const AT_ONCE = { timeout: 1000 };

let browser;
let gateway;
let owner;
let admin;
let guest;

before(async () => {
  gateway = await Gateway.start();
  browser = await openBrowser();
  owner = await Visitor.open(browser, gateway);
  await owner.enter();
  admin = await owner.openAdmin();
  guest = await Visitor.open(browser, gateway, { width: 390, height: 844, touch: true });
});

after(async () => {
  await browser?.close();
  await gateway?.close();
});

const waitingRows = () => admin.locator(".pend");
const pairedRow = (text) => admin.locator("tbody tr").filter({ hasText: text });

/** Presses Approve in the admin page; the row of the code must be there at once. */
async function approve(code) {
  const row = waitingRows().filter({ hasText: code });
  await row.waitFor(AT_ONCE);
  await row.getByRole("button", { name: /^Approve/ }).click();
}

test("a stranger sees how to get a token", async () => {
  await guest.goto("/");
  await guest.page.getByRole("heading", { name: "Gateway token missing" }).waitFor();
  await guest.text("moltbot devices link").waitFor();
  await guest.shot("token");
  await guest.page.getByLabel("Or paste the token here:").fill("not the token");
  await guest.button("Connect").click();
  await guest.text("That token is not the one of this gateway.", false).waitFor();
});

test("with the token it shows a code, and so does Admin, at once", async () => {
  await guest.goto(`/?token=${await gateway.token()}`);
  const code = await guest.pairingCode();
  assert.match(code, /^[A-Z0-9]{3}-[A-Z0-9]{3}$/);
  assert.ok(!guest.page.url().includes("token"));
  const row = waitingRows().filter({ hasText: code });
  await row.waitFor(AT_ONCE);
  assert.equal(await waitingRows().count(), 1);
  assert.match(await admin.title(), /^\(1\)/);
  const icon = admin.locator('link[rel="icon"]');
  assert.match(await icon.getAttribute("href"), /waiting/);
  await guest.shot("pairing");
  await owner.shotOf(admin, "admin-waiting");
});

test("approved in Admin, the browser that waits enters by itself", async () => {
  await approve(await guest.pairingCode());
  await guest.composer.waitFor(AT_ONCE);
  await waitingRows().waitFor({ state: "detached" });
  await pairedRow("Undo").waitFor();
  await pairedRow("Undo").getByText("saved").waitFor();
  assert.doesNotMatch(await admin.title(), /^\(/);
  await owner.shotOf(admin, "admin-approved");
  await guest.ask("echo let in");
  assert.deepEqual(await guest.transcript(), ["echo let in", "let in"]);
  // The same conversation is open in the chat of the owner.
  await owner.text("let in").waitFor();
});

test("revoked in Admin, it is out at once", async () => {
  const row = pairedRow("chat").filter({ hasNotText: "this device" });
  await row.getByRole("button", { name: /^(Undo|Revoke)/ }).click();
  const dialog = admin.getByRole("dialog");
  if (await dialog.isVisible()) await dialog.getByRole("button", { name: "Revoke" }).click();
  await guest.page
    .getByRole("heading", { name: "This device's access was taken back" })
    .waitFor(AT_ONCE);
  await guest.shot("revoked");
});

test("approved for less than it asked for", async () => {
  await guest.button("Ask again").click();
  const code = await guest.pairingCode();
  const row = waitingRows().filter({ hasText: code });
  await row.waitFor(AT_ONCE);
  await row.getByText("What it may do").click();
  await row.getByRole("checkbox", { name: /^chat/ }).uncheck();
  await owner.shotOf(admin, "admin-narrowed");
  await approve(code);
  await guest.text("This device may read but not write.", false).waitFor(AT_ONCE);
  assert.equal(await guest.composer.count(), 0);
  // Coming back it is content with what it was given.
  await guest.page.reload();
  await guest.text("This device may read but not write.", false).waitFor();
  await guest.shot("chat-read-only");
});

test("a device that only chats asks again before it may administer", async () => {
  const second = await Visitor.open(browser, gateway, { lang: "zh-CN" });
  await second.goto(`/?token=${await gateway.token()}`);
  await approve(await second.pairingCode());
  await second.composer.waitFor(AT_ONCE);
  await second.goto("/_admin/");
  await second.text("此浏览器已配对，但还没有这项权限。", false).waitFor();
  await second.shot("pairing-scope-zh");
  await approve(await second.pairingCode());
  await second.page.getByRole("heading", { name: "设备", exact: true }).waitFor(AT_ONCE);
  await second.text("当前设备").waitFor();
  await second.leave();
});

test("denied, it is told so and may ask again", async () => {
  const third = await Visitor.open(browser, gateway);
  await third.goto(`/?token=${await gateway.token()}`);
  const code = await third.pairingCode();
  const row = waitingRows().filter({ hasText: code });
  await row.getByRole("button", { name: /^Deny/ }).click();
  await third.page.getByRole("heading", { name: "The request was denied." }).waitFor(AT_ONCE);
  await third.button("Ask again").click();
  assert.notEqual(await third.pairingCode(), code);
  await third.leave();
});

test("a link that was used already says so", async () => {
  const used = await gateway.link();
  const first = await Visitor.open(browser, gateway);
  await first.page.goto(used);
  await first.composer.waitFor();
  const late = await Visitor.open(browser, gateway, { refusal: true });
  await late.page.goto(used);
  await late.text("used already", false).waitFor();
  assert.ok(!late.page.url().includes("grant"));
  await late.leave();
  await first.leave();
});

test("nothing complained", async () => {
  await guest.leave();
  await owner.leave();
});
