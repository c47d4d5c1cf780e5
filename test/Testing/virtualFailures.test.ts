import { assert, describe, it } from "@effect/vitest"
import * as Testing from "effect-pgpool/Testing"

const fails = (what: string) => () => {
  throw new Error(what)
}

describe("R45: what a callback throws in virtual time", () => {
  const make = (options?: Testing.VirtualPoolOptions) => {
    const time = Testing.virtualTime()
    return { time, pool: time.pool({ maxsize: 1, maxoverflow: 1, maxwait: 0, connect: 20, ...options }) }
  }

  it("comes out of runUntil if its connection has just opened, and the connection is well", () => {
    const { pool, time } = make()
    let loan: Testing.VirtualLoan | undefined
    pool.request({
      lent: (its) => {
        loan = its
        assert.fail("the caller's own")
      }
    })
    assert.throws(() => time.runUntil(100), "the caller's own")
    assert.strictEqual(time.now, 20)
    time.runUntil(200)
    assert.strictEqual(pool.stats().busy, 1)
    loan?.end()
    assert.strictEqual(pool.stats().idle, 1)
    assert.strictEqual(pool.stats().closed.failed, 0)
  })

  it("comes out of runUntil if its connection was idle, or comes from another caller; the first one of several", () => {
    const { pool, time } = make()
    pool.request({ lent: (loan) => loan.end() })
    time.runUntil(50)
    time.after(10, () =>
      pool.request({
        lent: (loan) => {
          time.after(10, () => loan.end())
          assert.fail("idle")
        }
      }))
    assert.throws(() => time.runUntil(100), "idle")
    pool.request({
      lent: (loan) => {
        loan.end()
        assert.fail("queue")
      }
    })
    pool.request({ lent: fails("the next one") })
    assert.throws(() => time.runUntil(100), "queue")
    assert.strictEqual(time.now, 70)
    // It was told once: nothing is left.
    time.runUntil(200)
  })

  it("comes out of the call that it was told in, where time does not pass", () => {
    const { pool, time } = make()
    pool.request({ lent: (loan) => loan.end() })
    time.runUntil(50)
    assert.throws(() => pool.request({ lent: fails("idle") }), "idle")
    time.runUntil(60)
  })

  it("keeps nothing from other callers: each one whose connection broke is told", () => {
    const { pool, time } = make({ maxsize: 3, maxoverflow: 3 })
    const told: Array<string> = []
    for (const name of ["A", "B", "C"]) {
      pool.request({
        lent: () => {},
        lost: (loan) => {
          told.push(name)
          loan.end()
          assert.fail(name)
        }
      })
    }
    time.after(30, pool.breakConnections)
    assert.throws(() => time.runUntil(100), /^A$/)
    assert.deepStrictEqual(told, ["A", "B", "C"])
    time.runUntil(100)
  })

  it("comes out of runUntil from refused, connect and opens", () => {
    const refused = make({ acquireTimeout: 50 })
    refused.pool.request({ lent: () => {} })
    refused.pool.request({ lent: () => {} })
    refused.pool.request({ lent: () => {}, refused: fails("refused") })
    assert.throws(() => refused.time.runUntil(100), "refused")
    assert.strictEqual(refused.time.now, 50)
    for (const options of [{ connect: fails("its own") }, { opens: fails("its own") }]) {
      const { pool, time } = make(options)
      pool.request({ lent: fails("it was lent") })
      assert.throws(() => time.runUntil(100), "its own")
    }
  })

  it("connect may go on after a time that is not allowed, which comes out of runUntil", () => {
    const times: Array<unknown> = [NaN, -1, "5", Infinity, undefined]
    const { pool, time } = make({ connect: () => times.length > 0 ? times.shift() as number : 20 })
    let lent = 0
    pool.request({ lent: () => lent++ })
    for (const shown of ["NaN", "-1", "\"5\"", "Infinity", "undefined"]) {
      assert.throws(
        () => time.runUntil(10_000),
        `what connect gives: ${shown} is not allowed, it must be a number of milliseconds, not less than 0`
      )
    }
    assert.strictEqual(lent, 0)
    time.runUntil(10_000)
    assert.strictEqual(lent, 1)
  })
})

describe("R45: runUntil within itself", () => {
  it("is an error, from whichever callback, and time never goes back", () => {
    const seen: Array<number> = []
    const time = Testing.virtualTime()
    const pool = time.pool({ connect: 20 })
    const again = () => time.runUntil(50)
    time.after(10, again)
    time.after(15, () => seen.push(time.now))
    pool.request({ lent: again })
    assert.throws(() => time.runUntil(60), /^runUntil: it runs already, .* Use `after` for what is to happen later$/)
    assert.strictEqual(time.now, 10)
    assert.throws(() => time.runUntil(60), /^runUntil: it runs already/)
    assert.strictEqual(time.now, 20)
    time.runUntil(60)
    assert.strictEqual(time.now, 60)
    assert.deepStrictEqual(seen, [15])
  })
})
