import { assert, describe, it } from "@effect/vitest"
import type { ElasticPool } from "effect-pgpool"
import type { VirtualPoolOptions } from "effect-pgpool/Testing"
import * as Testing from "effect-pgpool/Testing"
import { Random } from "../../plan/src/random.js"
import type { Play, Played } from "../support/eachByAFiber.js"
import { eachByAFiber } from "../support/eachByAFiber.js"

/** The same without a fiber for each. */
const virtually = ({ connect, options, outage, requests, until }: Play): Played => {
  const time = Testing.virtualTime()
  let isDown = false
  const pool = time.pool({ ...options, connect, opens: () => !isDown })
  const waits = requests.map(() => NaN)
  requests.forEach(({ at, hold }, i) =>
    time.after(at, () => {
      let wait: number
      let callOff = () => {}
      pool.request({
        lent: (loan) => {
          wait = time.now - at
          callOff = time.after(hold, () => {
            waits[i] = wait
            loan.end()
          })
        },
        lost: (loan) => {
          callOff()
          loan.end()
        }
      })
    })
  )
  if (outage !== undefined) {
    time.after(outage.at, () => {
      isDown = true
      pool.breakConnections()
    })
    time.after(outage.at + outage.length, () => isDown = false)
  }
  time.runUntil(until)
  return { waits, connections: pool.connections(), stats: pool.stats() }
}

const requestsOf = (perSecond: number, hold: number, count: number): Play["requests"] => {
  const random = new Random(1)
  let at = 0
  return Array.from({ length: count }, () => {
    at += random.exponential() * 1000 / perSecond
    return { at, hold: hold * random.exponential() }
  })
}

const make = (options?: VirtualPoolOptions) => {
  const time = Testing.virtualTime()
  const pool = time.pool(options)
  const told: Array<string> = []
  const request = (name: string, hold: number) =>
    pool.request({
      lent: (loan) => {
        told.push(`${time.now}: ${name} lent`)
        time.after(hold, () => loan.end())
      },
      refused: ({ message }) => told.push(`${time.now}: ${name} refused: ${message.split("\n")[0]}`)
    })
  return { time, pool, told, request }
}

describe("R45: virtual time", () => {
  const same = (name: string, play: Omit<Play, "until"> & { readonly until?: number }) =>
    it(`gives the same figures as a fiber for each request: ${name}`, () => {
      const whole = { until: 60_000, ...play }
      const played = virtually(whole)
      assert.deepStrictEqual(played, eachByAFiber(whole))
      // Else there would be nothing to compare.
      assert.isTrue(played.waits.some((wait) => wait > 0))
    })

  const options: ElasticPool.PoolOptions = { maxsize: 2, maxoverflow: 10 }
  same("auto", { options, connect: 20, requests: requestsOf(200, 20, 5000) })
  same("auto, connects of 100 ms", { options, connect: 100, requests: requestsOf(200, 20, 5000) })
  same("a fixed maxwait", { options: { ...options, maxwait: 50 }, connect: 20, requests: requestsOf(200, 20, 5000) })
  same("no maxwait", { options: { ...options, maxwait: 0 }, connect: 20, requests: requestsOf(200, 20, 5000) })
  same("more than it can serve", {
    options: { ...options, whenFull: "fail", maxwait: 100 },
    connect: 20,
    requests: requestsOf(700, 20, 5000)
  })
  same("connections that expire", {
    options: { ...options, expires: "2 seconds", idleTimeout: "500 millis" },
    connect: 20,
    requests: requestsOf(100, 20, 5000)
  })
  same("an outage", {
    options,
    connect: 20,
    requests: requestsOf(200, 20, 5000),
    outage: { at: 10_000.5, length: 3000 }
  })

  it("the same seed gives the same, and chance is that of the seed", () => {
    const expiries = (seed?: number) => {
      const time = Testing.virtualTime({ seed })
      const pool = time.pool({ expires: "1 minute", expiresJitter: 0.5, minsize: 0 })
      const closed: Array<number> = []
      for (let i = 0; i < 5; i++) pool.request({ lent: (loan) => time.after(10, () => loan.end()) })
      for (let left = 5; left > 0 && time.now < 100_000; time.runUntil(time.now + 20)) {
        for (; left > pool.stats().size; left--) closed.push(time.now)
      }
      return closed
    }
    assert.strictEqual(expiries().length, 5)
    assert.deepStrictEqual(expiries(), expiries(1))
    assert.notDeepEqual(expiries(1), expiries(2))
  })

  it("what is due at the same time happens in the order in which it was asked for", () => {
    const { time, told } = make()
    time.after(5, () => told.push("first"))
    time.after(5, () => told.push("second"))
    time.after(3, () => time.after(2, () => told.push("third")))
    time.after(5, () => told.push("never"))()
    time.runUntil(4.9)
    assert.deepStrictEqual(told, [])
    time.runUntil(5)
    assert.deepStrictEqual(told, ["first", "second", "third"])
    assert.strictEqual(time.now, 5)
  })

  it("arrivals are read one at a time", () => {
    const { time } = make()
    let read = 0
    const seen: Array<number> = []
    function* arrivals() {
      for (let at = 0; at < 1e9; at += 10) {
        read++
        yield { at }
      }
    }
    time.each(arrivals(), ({ at }) => seen.push(at))
    time.runUntil(25)
    assert.deepStrictEqual(seen, [0, 10, 20])
    assert.strictEqual(read, 4)
  })

  it("very many may be due at one instant, but what goes on for ever without time is an error", () => {
    const { time } = make()
    let rung = 0
    const ring = () => rung++
    time.each(Array.from({ length: 60_000 }, () => ({ at: 5 })), () => time.after(7, ring))
    time.runUntil(20)
    assert.strictEqual(rung, 60_000)
    for (let i = 0; i < 60_000; i++) time.after(0, ring)
    time.runUntil(20)
    assert.strictEqual(rung, 120_000)
    const again = () => void time.after(0, again)
    time.after(10, again)
    assert.throws(() => time.runUntil(40), /it runs in circles at 30 ms/)
    const endless = make()
    const alwaysNow = { next: () => ({ done: false, value: { at: 5 } }), [Symbol.iterator]: () => alwaysNow } as const
    endless.time.each(alwaysNow, () => {})
    assert.throws(() => endless.time.runUntil(40), /it runs in circles at 5 ms/)
  }, 60_000)

  it("connects take as long as is said, and fail as long as is said; callers wait meanwhile", () => {
    let isDown = true
    let takes = 20
    const { pool, request, time, told } = make({ connect: () => takes, opens: () => !isDown })
    request("A", 10)
    time.runUntil(100)
    assert.deepStrictEqual(told, [])
    assert.isAbove(pool.stats().connectFailures, 0)
    isDown = false
    takes = 5
    time.runUntil(1000)
    assert.match(told[0], /^[\d.]+: A lent$/)
    assert.strictEqual(pool.stats().idle, 1)
  })

  it("the pool refuses as it does in real time", () => {
    const { request, time, told } = make({ maxsize: 1, maxoverflow: 1, acquireTimeout: 500 })
    request("A", 2000)
    request("B", 10)
    time.runUntil(3000)
    assert.strictEqual(told[0], "20: A lent")
    assert.match(told[1], /^500: B refused: .*500 ms/)
    assert.strictEqual(told.length, 2)
  })

  it("a caller whose connection breaks is told; without a word of its own it gives it back", () => {
    const { pool, request, time, told } = make({ maxsize: 2 })
    request("A", 1000)
    pool.request({
      lent: () => {},
      lost: (loan) => {
        told.push(`${time.now}: B lost`)
        loan.end()
        loan.end()
      }
    })
    time.runUntil(100)
    assert.strictEqual(pool.connections().now, 2)
    pool.breakConnections()
    time.runUntil(101)
    assert.deepStrictEqual(told, ["20: A lent", "100: B lost"])
    assert.strictEqual(pool.connections().now, 0)
    assert.strictEqual(pool.stats().busy, 0)
    // A connection that was given back before it broke has no caller that could be told.
    request("C", 10)
    time.runUntil(200)
    pool.breakConnections()
    time.runUntil(201)
    assert.deepStrictEqual(told.slice(2), ["121: C lent"])
  })

  it("a connection that breaks between its hand-over and its caller is replaced", () => {
    const { pool, request, time, told } = make({ maxsize: 2, connect: 10 })
    request("idle", 0)
    time.runUntil(20)
    pool.request({
      lent: (loan) => {
        loan.end()
        // It is handed the idle connection, and is told so when this has returned.
        request("B", 10)
        pool.breakConnections()
      }
    })
    assert.deepStrictEqual(told, ["10: idle lent"])
    time.runUntil(50)
    assert.deepStrictEqual(told, ["10: idle lent", "30: B lent"])
    assert.strictEqual(pool.connections().begun, 2)
    assert.strictEqual(pool.stats().acquired, 3)
  })

  it("counts connections from the beginning of their connect", () => {
    const { pool, request, time } = make({ connect: 40, maxsize: 3 })
    time.runUntil(60)
    request("A", 10)
    request("B", 10)
    time.runUntil(100)
    assert.deepStrictEqual(pool.connections(), { now: 2, mean: 0.8, peak: 2, begun: 2 })
  })

  it("closes as any pool does: who has a connection has time, and who waits is refused", () => {
    const { pool, request, time, told } = make({ maxsize: 1, maxoverflow: 1 })
    request("A", 1000)
    request("B", 10)
    time.runUntil(100)
    pool.close()
    request("C", 10)
    assert.deepStrictEqual(told.map((line) => line.split(":", 2).join(":")), [
      "20: A lent",
      "100: B refused",
      "100: C refused"
    ])
    assert.strictEqual(pool.connections().now, 1)
    time.runUntil(1021)
    assert.strictEqual(pool.connections().now, 0)
  })

  it("limits can change on the way", () => {
    const { pool, request, time, told } = make({ maxsize: 1, maxoverflow: 1 })
    request("A", 1000)
    request("B", 10)
    time.runUntil(100)
    pool.resize({ maxoverflow: 2 })
    time.runUntil(200)
    assert.deepStrictEqual(told, ["20: A lent", "120: B lent"])
  })

  it("says what is not allowed", () => {
    const { pool, time } = make()
    time.runUntil(10)
    assert.throws(() => Testing.virtualTime({ seed: 0.5 }), /seed: 0.5 is not allowed, it must be a whole number/)
    assert.throws(
      () => time.runUntil(9),
      /runUntil: 9 is not allowed, it must be a number of milliseconds, not less than 10/
    )
    assert.throws(() => time.after(-1, () => {}), /after: -1 is not allowed/)
    assert.throws(() => time.after(NaN, () => {}), /after: NaN is not allowed/)
    assert.throws(() => time.pool({ maxsize: 0 }), /maxsize: 0 is not allowed/)
    assert.throws(() => time.pool({ connect: -1 }), /connect: -1 is not allowed/)
    assert.throws(
      () => time.pool({ connect: "5" as never }),
      /connect: "5" is not allowed.*or a function that gives one/
    )
    assert.throws(() => pool.resize({ maxsize: 0 }), /maxsize: 0 is not allowed/)
    time.each([{ at: 20 }, { at: 15 }], () => {})
    assert.throws(
      () => time.runUntil(30),
      /at: 15 is not allowed, it must be a number of milliseconds, not less than 20/
    )
  })
})
