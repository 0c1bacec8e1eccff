import { defineConfig } from "vitest/config";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  // Styles are read as they are by the test of the colours.
  test: { css: true, environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
