// What becomes of the pool when servers and networks fail: `npm run test:faults`, for some minutes.
import { defineConfig } from "vitest/config"
import base from "./vitest.config.js"

export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ["test/faults/*.test.ts"],
    exclude: [],
    // Times are measured: the machine is for one case at a time.
    fileParallelism: false,
    // The figures of each case are its output.
    disableConsoleIntercept: true,
    slowTestThreshold: 60_000
  }
})
