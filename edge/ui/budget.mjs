// Fails when an entry loads more than it may. Builds into a temporary folder: npm run budget
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const LIMITS = {
  "index.html": { js: 45_000, css: 8_000 },
  "admin.html": { js: 35_000, css: 8_000 },
};

const dist = mkdtempSync(join(tmpdir(), "moltbot-ui-"));
let over = false;
try {
  await build({ logLevel: "error", build: { outDir: dist } });
  for (const [page, limits] of Object.entries(LIMITS)) {
    for (const kind of ["js", "css"]) {
      const size = firstLoad(page, kind);
      over ||= size > limits[kind];
      const verdict = size > limits[kind] ? "OVER" : "ok";
      console.log(
        `${page.padEnd(11)} ${kind.padEnd(4)} ${size} of ${limits[kind]} bytes gz  ${verdict}`,
      );
    }
  }
} finally {
  rmSync(dist, { recursive: true, force: true });
}
process.exitCode = over ? 1 : 0;

/** All that the page asks for before anybody does anything. */
function firstLoad(page, kind) {
  const html = readFileSync(join(dist, page), "utf8");
  const names = new Set(
    [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, name]) => name),
  );
  return [...names]
    .filter((name) => name.endsWith(`.${kind}`))
    .map((name) => gzipSync(readFileSync(join(dist, name)), { level: 9 }).length)
    .reduce((sum, size) => sum + size, 0);
}
