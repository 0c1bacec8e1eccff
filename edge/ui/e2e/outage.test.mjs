// The gateway goes away, in every way it can, and the page finds its way back without a reload.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Cable } from "./cable.mjs";
import { Gateway } from "./gateway.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

let browser;
let gateway;
let cable;
let visitor;

before(async () => {
  browser = await openBrowser();
});

after(() => browser?.close());

beforeEach(async () => {
  gateway = await Gateway.start();
  cable = await Cable.to(gateway);
  visitor = await Visitor.open(browser, cable, { outage: true });
  await visitor.enter();
  // A reload would take this mark away.
  await visitor.page.evaluate(() => {
    window.sameDocument = true;
  });
});

afterEach(async () => {
  const same = await visitor.page.evaluate(() => window.sameDocument);
  await visitor.leave();
  await cable?.cut();
  await gateway?.close();
  assert.equal(same, true, "the page was not reloaded");
});

test("killed in the middle of an answer", async () => {
  const { page } = visitor;
  await visitor.say("count to 300");
  await visitor.growing.getByText("11 12 13", { exact: false }).waitFor();
  await visitor.composer.fill("a draft");
  await gateway.kill();
  await visitor.text("Reconnecting… your draft is kept.", false).waitFor();
  await page.getByText(/next try in \d/).waitFor();
  await visitor.shot("chat-reconnecting");
  assert.equal(await visitor.composer.inputValue(), "a draft");
  await visitor.say("echo waited");
  await visitor.text("Waits for the connection", false).waitFor();
  await visitor.composer.fill("another draft");
  await visitor.shot("chat-waits");

  await gateway.launch();
  await visitor.text("The gateway stopped before this answer was finished.").waitFor();
  await visitor.text("waited").waitFor();
  assert.equal(await visitor.composer.inputValue(), "another draft");
  assert.equal(await page.getByText("echo waited", { exact: true }).count(), 1);
});

test("an interrupted answer can be asked for again", async () => {
  await visitor.say("count to 100");
  await visitor.growing.getByText("11 12 13", { exact: false }).waitFor();
  await gateway.kill();
  await gateway.launch();
  await visitor.text("The gateway stopped before this answer was finished.").waitFor();
  await visitor.shot("chat-interrupted");
  await visitor.button("Retry").click();
  await visitor.growing.waitFor();
  await visitor.quiet();
  assert.match((await visitor.transcript()).at(-1), /91 92 93 94 95 96 97 98 99 100$/);
  const asked = visitor.page.getByText("count to 100", { exact: true });
  assert.equal(await asked.and(visitor.page.locator(".prose")).count(), 1);
});

test("a container that vanished: the log comes back from the replica", async () => {
  await visitor.ask("echo one");
  await visitor.ask("help");
  const shown = await visitor.transcript();
  await gateway.shipped();
  await gateway.terminate();
  await visitor.text("Retry now").waitFor();
  await gateway.wipe();
  await gateway.launch();
  await visitor.text("Retry now").waitFor({ state: "detached" });
  await visitor.text("Connected").waitFor();
  assert.deepEqual(await visitor.transcript(), shown);
  await visitor.ask("echo still here");
  assert.deepEqual(await visitor.transcript(), [...shown, "echo still here", "still here"]);
  await visitor.page.getByRole("link", { name: "Admin" }).first().waitFor();
  const admin = await visitor.context.newPage();
  await admin.goto(cable.url("/_admin/"));
  await admin.getByText("this device").waitFor();
  await gateway.run("log", "verify");
});

test("a network that breaks in the middle of an answer", async () => {
  await visitor.say("count to 150");
  await visitor.growing.getByText("11 12 13", { exact: false }).waitFor();
  await cable.cut();
  await visitor.text("Retry now").waitFor();
  await cable.mend();
  await visitor.quiet();
  const numbers = Array.from({ length: 150 }, (_, index) => index + 1).join(" ");
  const said = (await visitor.transcript()).map((text) => text.replace(/\s+/g, " "));
  assert.deepEqual(said, ["count to 150", numbers]);
});
