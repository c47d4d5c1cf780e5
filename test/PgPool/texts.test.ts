import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { vi } from "vitest"
import { withFastTexts } from "../../src/internal/postgres/driver/texts.js"
import { makePool } from "../support/pgPool.js"

/** Texts behind each other, as in a message, and where each of them ends. */
const message = (texts: ReadonlyArray<string>) => {
  const all = texts.map((text) => Buffer.from(text))
  return { bytes: withFastTexts(Buffer.concat(all)), sizes: all.map(({ length }) => length) }
}

/** With the method that Node's types do not have. */
const prototype = Buffer.prototype as Buffer & { readonly utf8Slice: () => string }

const characters = FastCheck.oneof(
  FastCheck.integer({ min: 0, max: 0x7f }).map((code) => String.fromCharCode(code)),
  FastCheck.fullUnicode()
)
const text = FastCheck.stringOf(characters, { maxLength: 12 })

describe("R31: texts", () => {
  it("are what Node reads, whatever is in them", () => {
    FastCheck.assert(FastCheck.property(FastCheck.array(text), (texts) => {
      const { bytes, sizes } = message(texts)
      let at = 0
      for (const [n, size] of sizes.entries()) {
        assert.strictEqual(bytes.toString("utf-8", at, at + size), texts[n])
        at += size
      }
    }))
  })

  it("are what Node reads where characters are cut", () => {
    const whole = Buffer.from("aü€😀z")
    const bytes = withFastTexts(Buffer.from(whole))
    for (let start = 0; start <= whole.length; start++) {
      for (let end = start; end <= whole.length + 1; end++) {
        assert.strictEqual(bytes.toString("utf-8", start, end), whole.toString("utf-8", start, end))
      }
    }
  })

  it("are what Node reads in other encodings, of all of the bytes, and between strange bounds", () => {
    const { bytes } = message(["short"])
    assert.strictEqual(bytes.toString(), "short")
    assert.strictEqual(bytes.toString("utf-8"), "short")
    assert.strictEqual(bytes.toString("hex"), "73686f7274")
    assert.strictEqual(bytes.toString("base64", 1, 3), "aG8=")
    for (const [start, end] of [[3, 1], [-1, 2], [1, 9], [0.5, 2.5], [NaN, 3]]) {
      assert.strictEqual(bytes.toString("utf-8", start, end), Buffer.from("short").toString("utf-8", start, end))
    }
  })

  it("leave the buffer that was given as it was", () => {
    const given = Buffer.from("short")
    withFastTexts(given)
    assert.deepStrictEqual(given, Buffer.from("short"))
  })

  it.scopedLive("short ones of rows need no native code", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool()
      // `toString` calls the other one.
      const calls = yield* Effect.acquireRelease(
        Effect.sync(() => (["toString", "utf8Slice"] as const).map((name) => vi.spyOn(prototype, name))),
        (calls) => Effect.sync(() => calls.forEach((call) => call.mockRestore()))
      )
      const rows = yield* sql`SELECT n, n % 2 = 0 AS even, 'name' AS name FROM generate_series(1, 100) AS n`
      assert.deepStrictEqual(rows[99], { n: 100, even: true, name: "name" })
      for (const call of calls) assert.isBelow(call.mock.calls.length, 100)
    }))
})
