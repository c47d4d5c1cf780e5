import type { HttpServerRequest } from "@effect/platform"
import { afterEach, assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import type * as Crypto from "node:crypto"
import { timingSafeEqual } from "node:crypto"
import { vi } from "vitest"
import { guardOf } from "../../src/internal/dashboard/guard.js"

vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof Crypto>()
  return { ...crypto, timingSafeEqual: vi.fn(crypto.timingSafeEqual) }
})

const compare = vi.mocked(timingSafeEqual)

const token = "a-token-of-sixteen-or-more"

const hasToken = guardOf(Redacted.make(token))

const ask = (authorization?: string): boolean =>
  hasToken({ headers: authorization === undefined ? {} : { authorization } } as HttpServerRequest.HttpServerRequest)

/** Of the same length with another end or another beginning, shorter, longer, and none. */
const wrong = [
  token.replace(/.$/, "x"),
  token.replace(/^./, "x"),
  token.slice(0, -1),
  `${token}x`,
  "x".repeat(10_000),
  ""
].map((text) => `Bearer ${text}`)

/**
 * A time can't be asserted on a busy machine. But how much is compared, and by what, says the same: each answer is that of
 * Node's comparison in constant time, of as many bytes.
 */
describe("R44: how long the comparison of the token takes says nothing of it", () => {
  afterEach(() => {
    compare.mockClear()
  })

  it("whatever is sent, as many bytes are compared in constant time", () => {
    assert.isTrue(ask(`Bearer ${token}`))
    for (const authorization of [...wrong, `Basic ${token}`, undefined]) assert.isFalse(ask(authorization))
    assert.lengthOf(compare.mock.calls, wrong.length + 3)
    for (const [given, expected] of compare.mock.calls) {
      assert.deepStrictEqual([given.byteLength, expected.byteLength], [32, 32])
    }
  })

  it("nothing else decides", () => {
    compare.mockReturnValueOnce(false)
    assert.isFalse(ask(`Bearer ${token}`))
    for (const authorization of wrong) {
      compare.mockReturnValueOnce(true)
      assert.isTrue(ask(authorization))
    }
  })
})
