// A long answer must not make the page stutter.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Gateway } from "./gateway.mjs";
import { openBrowser, Visitor } from "./visitor.mjs";

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

test("a thousand pieces of an answer never hold the page up", async (context) => {
  const visitor = await Visitor.open(browser, gateway);
  await visitor.enter();
  await visitor.page.evaluate(() => {
    window.longTasks = [];
    const note = (list) => {
      for (const entry of list.getEntries()) window.longTasks.push(Math.round(entry.duration));
    };
    new PerformanceObserver(note).observe({ type: "longtask" });
  });
  await visitor.say("count to 1000");
  await visitor.growing.waitFor();
  await visitor.page.locator("[aria-busy=true]").waitFor({ state: "detached", timeout: 60_000 });
  assert.match((await visitor.transcript()).at(-1), /999 1000$/);
  const tasks = await visitor.page.evaluate(() => window.longTasks);
  const worst = Math.max(0, ...tasks);
  context.diagnostic(`${tasks.length} tasks over 50 ms, the longest ${worst} ms`);
  // Nothing here takes 50 ms on a quiet machine; the rest is room for busy ones.
  assert.ok(worst <= 200, `a task of ${worst} ms`);
  await visitor.leave();
});
