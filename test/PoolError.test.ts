/** What a caller reads who got no connection: which limit was in force, and only what would have helped. */
import { assert, describe, it } from "@effect/vitest"
import { PoolError } from "effect-pgpool"
import type { PoolStats } from "effect-pgpool/PoolStats"

type Counts = Pick<PoolStats, "busy" | "opening" | "checking" | "closing">

const none: Counts = { busy: 0, opening: 0, checking: 0, closing: 0 }

const messageOf = (
  counts: Partial<Counts>,
  why: Pick<PoolError.PoolExhausted, "limit" | "limitMillis" | "wasOwed"> & { readonly cause?: unknown },
  limits = { maxsize: 2, maxoverflow: 20 }
) => {
  const { busy, checking, closing, opening } = { ...none, ...counts }
  const size = busy + checking + closing + opening
  const stats = { ...limits, busy, checking, closing, opening, size, idle: 0, waiting: 7, name: "" } as PoolStats
  return new PoolError.PoolExhausted({ stats, waited: why.limitMillis ?? 1234, holders: [], ...why }).message
}

const counted =
  /^(.*) \(\d+ busy, 0 idle, \d+ opening, \d+ checking, \d+ closing, 7 waiting; maxsize \d+, maxoverflow \d+\)$/

/** Without the counts at its end. */
const said = (...args: Parameters<typeof messageOf>): string => counted.exec(messageOf(...args))![1]

describe("R32: PoolExhausted", () => {
  it("ends with the counts", () => {
    assert.isTrue(
      messageOf({ busy: 20 }, { limit: "acquireTimeout", limitMillis: 30_000, wasOwed: false }).endsWith(
        " (20 busy, 0 idle, 0 opening, 0 checking, 0 closing, 7 waiting; maxsize 2, maxoverflow 20)"
      )
    )
  })

  describe("all connections are held", () => {
    it("with whenFull \"fail\"", () => {
      assert.strictEqual(
        said({ busy: 20 }, { limit: "maxwait", limitMillis: 200, wasOwed: false }),
        "No connection after 200 ms (maxwait: 200 ms, with whenFull \"fail\"): all 20 that maxoverflow allows are in use. " +
          "Hold connections for a shorter time, raise maxoverflow if the server can bear it, or set whenFull to \"wait\"."
      )
    })

    it("after acquireTimeout", () => {
      assert.strictEqual(
        said({ busy: 20 }, { limit: "acquireTimeout", limitMillis: 30_000, wasOwed: false }),
        "No connection after 30000 ms (acquireTimeout: 30000 ms): all 20 that maxoverflow allows are in use. " +
          "Hold connections for a shorter time, raise maxoverflow if the server can bear it, or raise acquireTimeout."
      )
    })

    it("after an acquireTimeout that may be meant to be seconds", () => {
      assert.include(
        said({ busy: 20 }, { limit: "acquireTimeout", limitMillis: 30, wasOwed: false }),
        "or raise acquireTimeout (a bare number is milliseconds)."
      )
    })

    it("where there may be only one", () => {
      const one = { maxsize: 1, maxoverflow: 1 }
      assert.include(
        said({ busy: 1 }, { limit: "acquireTimeout", limitMillis: 30_000, wasOwed: false }, one),
        ": the only one that maxoverflow allows is in use. "
      )
    })
  })

  it("what nobody holds is for callers before it", () => {
    const message = said({ opening: 20 }, { limit: "maxwait", limitMillis: 200, wasOwed: false })
    assert.strictEqual(
      message,
      "No connection after 200 ms (maxwait: 200 ms, with whenFull \"fail\"): all 20 that maxoverflow allows are in use " +
        "or on the way to callers before it. Raise maxoverflow if the server can bear it, or set whenFull to \"wait\"."
    )
  })

  describe("connects fail", () => {
    const cause = new Error("connect ECONNREFUSED 127.0.0.1:5432")

    for (const limit of ["acquireTimeout", "outageTimeout"] as const) {
      for (const wasOwed of [true, false]) {
        it(`after ${limit}${wasOwed ? ", to who was owed one" : ""}`, () => {
          assert.strictEqual(
            said({}, { limit, limitMillis: 10_000, wasOwed, cause }),
            `No connection after 10000 ms (${limit}: 10000 ms). The last connect failed: ${cause.message}`
          )
        })
      }
    }

    it("and connectRetry has come to its end", () => {
      assert.strictEqual(
        said({}, { limit: "connectRetry", limitMillis: undefined, wasOwed: true, cause }),
        `No connection after 1234 ms (connectRetry has come to its end). The last connect failed: ${cause.message}`
      )
    })

    it("as at a full server: others are held, but fewer than maxoverflow allows", () => {
      assert.include(
        said({ busy: 5 }, { limit: "acquireTimeout", limitMillis: 30_000, wasOwed: false, cause }),
        ". The last connect failed: "
      )
    })
  })

  describe("it was owed one that nobody held", () => {
    it("a connect was under way, until acquireTimeout", () => {
      assert.strictEqual(
        said({ busy: 19, opening: 1 }, { limit: "acquireTimeout", limitMillis: 2000, wasOwed: true }),
        "No connection after 2000 ms (acquireTimeout: 2000 ms): a connect was still under way. Raise acquireTimeout."
      )
    })

    it("a connect was under way, with whenFull \"fail\"", () => {
      assert.strictEqual(
        said({ opening: 1 }, { limit: "connectTimeout", limitMillis: 205, wasOwed: true }),
        "No connection after 205 ms (maxwait and connectTimeout: 205 ms, with whenFull \"fail\"): a connect was still " +
          "under way. Raise connectTimeout (a bare number is milliseconds)."
      )
    })

    it("one was being checked", () => {
      assert.include(
        said({ checking: 1 }, { limit: "acquireTimeout", limitMillis: 2000, wasOwed: true }),
        ": a connection was still being checked or reset. Raise acquireTimeout."
      )
    })

    it("one was being closed, and that was the matter", () => {
      assert.include(
        said({ busy: 19, closing: 1 }, { limit: "connectTimeout", limitMillis: 5200, wasOwed: true }),
        ": a connection was still being closed, and counts until the server has let go of it. " +
          "Raise maxoverflow if the server can bear it, or raise connectTimeout."
      )
    })

    it("maxwait had not passed", () => {
      assert.strictEqual(
        said({ busy: 2 }, { limit: "acquireTimeout", limitMillis: 1000, wasOwed: true }),
        "No connection after 1000 ms (acquireTimeout: 1000 ms): all 2 that maxsize allows are in use, and maxwait had " +
          "not passed. Raise acquireTimeout, or lower maxwait."
      )
    })
  })

  it("nowhere are held connections blamed where nothing is held, nor maxoverflow where it was not reached", () => {
    const limits = ["acquireTimeout", "outageTimeout", "maxwait", "connectTimeout"] as const
    for (const limit of limits) {
      for (const cause of [undefined, new Error("refused")]) {
        for (const counts of [{}, { opening: 3 }, { checking: 1 }, { closing: 2 }, { busy: 3, opening: 1 }]) {
          const message = said(counts, { limit, limitMillis: 200, wasOwed: true, cause })
          assert.notInclude(message, "Hold connections")
          assert.notInclude(message.toLowerCase(), "raise maxoverflow")
        }
      }
    }
  })
})
