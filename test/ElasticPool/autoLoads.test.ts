/** `maxwait: "auto"` under whole loads, in simulated time: what a load may cost, whatever it is. */
import { assert } from "@effect/vitest"
import type { ElasticPool } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"
import { describe, it } from "vitest"
import type { Load } from "../../bench/simulate/load.js"
import { constant, exponential, ours, run as play, secondsOf } from "../../bench/simulate/load.js"
import type { Figures } from "../../plan/src/play.js"
import { Random } from "../../plan/src/random.js"

const auto = { maxsize: 2, maxwait: "auto", maxoverflow: 20, acquireTimeout: "10 minutes" } as const

const run = (load: Omit<Load, "name">, options: ElasticPool.PoolOptions = {}): Figures =>
  play({ name: "", ...load }, ours({ ...auto, ...options }))

/** How many connects there may be: each overflow permit has one, and then one for each time that it lingers. */
const bound = (seconds: number, connect: number): number => {
  const cycle = connect + Math.max(8 * Math.min(connect, 200), 150)
  return auto.maxoverflow + (auto.maxoverflow - auto.maxsize) * seconds * 1000 / cycle
}

const pick = <A>(random: Random, items: ReadonlyArray<A>): A => items[Math.floor(random.uniform() * items.length)]

/** Phases of any length and any rate, of which some are more than the pool can serve. */
const randomLoad = (seed: number): Omit<Load, "name"> & { readonly connect: number } => {
  const random = new Random(seed)
  const service = pick(random, [1, 5, 20, 100])
  const phases = Array.from({ length: 20 }, () => {
    const atOnce = random.uniform() < 0.3 ? 0 : 25 * random.uniform() ** 2
    return [0.02 + random.uniform() * 0.5, Math.min(atOnce * 1000 / service, 1500)] as const
  })
  return {
    phases,
    connect: pick(random, [2, 20, 100, 300]),
    service: random.uniform() < 0.5 ? constant(service) : exponential(service)
  }
}

/** So many callers at once, each so many milliseconds, `times` times. */
const crowds = (connect: number, every: number, times: number): number => {
  const time = Testing.virtualTime()
  const pool = time.pool({ ...auto, connect })
  for (let i = 0; i < times; i++) {
    for (let caller = 0; caller < 20; caller++) pool.request({ lent: (loan) => time.after(1, () => loan.end()) })
    time.runUntil(time.now + every)
  }
  return pool.connections().begun
}

describe("maxwait \"auto\": whole loads", { timeout: 120_000 }, () => {
  it("R7: no load makes it connect more often than an overflow permit lingers", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const load = randomLoad(seed)
      const { connects, failed, peakConnections, refused } = run(load)
      assert.isAtMost(connects, bound(secondsOf(load), load.connect), `seed ${seed}`)
      assert.isAtMost(peakConnections, auto.maxoverflow)
      assert.strictEqual(failed + refused, 0)
    }
  })

  it("R7: nor do crowds that come just when the last ones have gone, or just before", () => {
    for (const connect of [2, 20, 100]) {
      const linger = Math.max(8 * connect, 150)
      for (const every of [linger / 2, linger, linger + connect + 2, 1.5 * linger, 3 * linger]) {
        const connects = crowds(connect, every, 20)
        assert.isAtMost(connects, bound(20 * every / 1000, connect), `${connect} ms, each ${every} ms`)
        // Those that come before the last ones have gone need none.
        if (every < linger) assert.strictEqual(connects, 20)
      }
    }
  })

  it("R4: fibers that are as many as the hard limit have as much as from a pool that keeps as many", () => {
    const finished = (options: ElasticPool.PoolOptions): number => {
      const time = Testing.virtualTime()
      const pool = time.pool({ ...auto, ...options, connect: 20 })
      let count = 0
      const ask = (): void =>
        pool.request({
          lent: (loan) =>
            time.after(20, () => {
              loan.end()
              count++
              ask()
            })
        })
      for (let fiber = 0; fiber < 20; fiber++) ask()
      time.runUntil(6000)
      return count
    }
    const kept = finished({ maxsize: 20 })
    assert.isAtLeast(finished({}), 0.9 * kept)
    // Where callers wait for 200 ms first, two connections serve nearly all of them.
    assert.isAtMost(finished({ maxwait: 200 }), 0.7 * kept)
  })

  it("R4: callers behind loans that are stuck wait hardly longer than if they did not wait at all", () => {
    const load = {
      phases: [[60, 100]] as const,
      connect: 100,
      service: (random: Random) => random.uniform() < 0.01 ? 1000 : 5
    }
    const none = run(load, { maxwait: 0 })
    assert.isAtMost(run(load).wait.p99, 1.1 * none.wait.p99 + 1)
  })
})
