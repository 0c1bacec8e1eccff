// What the operator sees and does: the state of the backup, and the restart.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Gateway } from "./gateway.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

let browser;
let gateway;
let owner;
let admin;

before(async () => {
  gateway = await Gateway.start();
  browser = await openBrowser();
  owner = await Visitor.open(browser, gateway, { outage: true });
  await owner.enter();
  await owner.ask("echo one");
  await gateway.shipped();
  admin = await owner.openAdmin("/_admin/backup");
});

after(async () => {
  await browser?.close();
  await gateway?.close();
});

test("one sentence says where the data is", async () => {
  await admin.getByText(/^The backup, up to #\d+, is a directory on this machine\./).waitFor();
  await admin.getByRole("heading", { name: "R2 Storage Not Configured" }).waitFor();
  await admin.getByText(/^Last backup: \S/).waitFor();
});

test("Backup Now says what it did", async () => {
  await admin.getByRole("button", { name: "Backup Now" }).click();
  const line = admin.getByText(/^Backed up to #\d+ in .+: \d+ segments?, \d[\d.,]*\s\w+\.$/);
  await line.waitFor();
  await admin.locator("tbody tr").first().waitFor();
  await admin.getByText(/^Last backup: now|second/).waitFor();
  await owner.shotOf(admin, "admin-backup");
});

test("the state of the backup follows the conversation", async () => {
  const { headSeq } = await gateway.shipped();
  await owner.ask("echo two");
  const now = (await gateway.shipped()).headSeq;
  assert.ok(now > headSeq);
  await admin.getByText(`#${now}`, { exact: false }).first().waitFor();
});

test("the last device with admin rights cannot be revoked", async () => {
  await admin.getByRole("link", { name: "Devices" }).first().click();
  await admin
    .getByRole("button", { name: /^Revoke/ })
    .first()
    .click();
  const dialog = admin.getByRole("dialog");
  await dialog.getByText("This is the device you are using.", { exact: false }).waitFor();
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await admin.getByText("is the last device with admin rights", { exact: false }).waitFor();
});

test("a restart is asked for, shown step by step, and every page comes back", async () => {
  await owner.page.evaluate(() => {
    window.sameDocument = true;
  });
  await admin.getByText("More").or(admin.getByLabel("More")).first().click();
  await admin.getByRole("button", { name: "Restart gateway…" }).click();
  const dialog = admin.getByRole("dialog");
  await dialog.getByText(/connections? drops? for some seconds/).waitFor();
  await owner.shotOf(admin, "admin-restart");
  await admin.evaluate(() => {
    window.steps = [];
    const note = () => {
      const step = document.querySelector('dialog [aria-current="step"]')?.textContent;
      if (step && window.steps.at(-1) !== step) window.steps.push(step);
    };
    new MutationObserver(note).observe(document.body, {
      subtree: true,
      childList: true,
      attributes: true,
    });
  });
  await dialog.getByRole("button", { name: "Restart" }).click();
  await dialog.getByText("The gateway is back.").waitFor();
  assert.deepEqual(await admin.evaluate(() => window.steps), ["Stop", "Start", "Ready"]);
  await owner.shotOf(admin, "admin-restarted");
  await owner.text("Connected").waitFor();
  await owner.ask("echo after the restart");
  assert.equal(await owner.page.evaluate(() => window.sameDocument), true);
  assert.deepEqual((await owner.transcript()).slice(-1), ["after the restart"]);
});

test("nothing complained", () => owner.leave());
