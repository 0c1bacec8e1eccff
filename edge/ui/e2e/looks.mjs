// What every page owes everybody: no axe violation, no sideways scrolling.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"];
const WIDTHS = [320, 390, 768, 1280];

/** Both languages, both themes, a wide window and a phone. */
export const PERSONS = [
  { lang: "en", dark: false },
  { lang: "zh-CN", dark: true },
  { lang: "zh-CN", dark: false, touch: true, width: 390, height: 844 },
  { lang: "en", dark: true, touch: true, width: 390, height: 844 },
];

export function personName({ lang, dark, width = 1280 }) {
  return `${lang.slice(0, 2)}-${dark ? "dark" : "light"}-${width}`;
}

/** Looks at a page as this person. */
export async function look(visitor, page, person, what) {
  const label = `${what}-${personName(person)}`;
  await visitor.shotOf(page, label);
  await accessible(page, label);
  await fitsEveryWidth(page, label);
  assert.equal(await page.evaluate(() => document.documentElement.lang), person.lang);
}

/** The evaluation goes around the content security policy, as a browser extension does. */
async function accessible(page, name) {
  const options = JSON.stringify({ runOnly: TAGS, resultTypes: ["violations"] });
  const { violations } = await page.evaluate(`(async () => {
    ${AXE};
    return axe.run(document, ${options});
  })()`);
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${name}: ${id} ${node.target} ${node.failureSummary}`),
  );
  assert.deepEqual(found, []);
}

async function fitsEveryWidth(page, name) {
  const { width, height } = page.viewportSize();
  for (const narrow of WIDTHS) {
    await page.setViewportSize({ width: narrow, height });
    const [scroll, client] = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    assert.equal(scroll, client, `${name} scrolls sideways at ${narrow} px`);
  }
  await page.setViewportSize({ width, height });
}
