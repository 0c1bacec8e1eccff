// An operator comes in by MOLTBOT_LINK, finds somebody waiting on the admin page and lets him in.
import { openBrowser } from "./visitor.mjs";

const link = new URL(process.env.MOLTBOT_LINK);
const browser = await openBrowser();
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(link.href);
  await page.getByRole("textbox", { name: "Message" }).waitFor();
  await page.goto(`${link.origin}/_admin/`);
  const row = page.locator(".pend");
  await row.waitFor();
  console.log(JSON.stringify({ row: await row.innerText() }));
  await row.getByRole("button", { name: /^Approve/ }).click();
  await row.waitFor({ state: "detached" });
} finally {
  await browser.close();
}
