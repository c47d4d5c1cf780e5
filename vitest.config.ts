import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { configDefaults, defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-pgpool$/, replacement: `${src}/index.ts` },
      { find: /^effect-pgpool\/(.*)$/, replacement: `${src}/$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts", "examples/*.test.ts", "examples/testing/*.test.ts", "plan/test/**/*.test.ts"],
    // They take minutes, and measure times: vitest.faults.config.ts.
    exclude: [...configDefaults.exclude, "test/faults/**"],
    globalSetup: ["test/support/globalSetup.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    slowTestThreshold: 5000,
    // Most tests wait for a server or a deadline most of the time: two at once are not in each other's way on two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    minWorkers: 1,
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text", "html"],
      thresholds: { lines: 95 }
    }
  }
})
