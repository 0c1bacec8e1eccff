import { defineConfig, type Plugin } from "vite";

/**
 * The chosen theme and language live in localStorage, and the content security policy allows no
 * inline script. Holding the first paint until the entry has run avoids a flash of the other theme.
 */
function holdFirstPaint(): Plugin {
  return {
    name: "hold-first-paint",
    transformIndexHtml: {
      order: "post",
      handler: (html) =>
        html.replace('<script type="module"', '<script type="module" blocking="render"'),
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  // Absolute, so that one set of assets serves both `/` and `/_admin/`.
  base: "/",
  // build.rs points this into its own folder: a build must not write into the source tree.
  ...(process.env.MOLTBOT_UI_CACHE ? { cacheDir: process.env.MOLTBOT_UI_CACHE } : {}),
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [holdFirstPaint()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    emptyOutDir: true,
    rolldownOptions: { input: { chat: "index.html", admin: "admin.html" } },
  },
  server: {
    proxy: {
      "/ws": { target: "ws://127.0.0.1:18789", ws: true },
      "/pairing": "http://127.0.0.1:18789",
    },
  },
});
