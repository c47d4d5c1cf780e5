import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { withProgress } from "../src/progress.js"

/** What is in the line of a terminal at last, and how often it was written. */
const terminal = () => {
  let line = ""
  let writes = 0
  const write = (text: string) => {
    writes++
    line = text.split("\r\u001b[2K").at(-1)!
  }
  return { write, line: () => line, writes: () => writes }
}

describe("the bar", () => {
  it.effect("grows with the work, and is gone after it", () =>
    Effect.gen(function*() {
      const screen = terminal()
      yield* withProgress(screen, (onProgress) =>
        Effect.sync(() => {
          assert.strictEqual(screen.line(), `[${" ".repeat(30)}] 0 %`)
          onProgress(0.5)
          assert.strictEqual(screen.line(), `[${"#".repeat(15)}${" ".repeat(15)}] 50 %`)
          const before = screen.writes()
          onProgress(0.5001)
          assert.strictEqual(screen.writes(), before)
        }))
      assert.strictEqual(screen.line(), "")
    }))

  it.effect("is gone after an interrupt too", () =>
    Effect.gen(function*() {
      const screen = terminal()
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        withProgress(screen, () => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))
      )
      yield* Deferred.await(begun)
      assert.notStrictEqual(screen.line(), "")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(screen.line(), "")
    }))
})
