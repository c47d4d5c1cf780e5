import { assert, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ElasticPool } from "effect-pgpool"
import { spawn } from "node:child_process"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { describe } from "vitest"
import { areAll } from "../support/areAll.js"
import { FakeResource } from "../support/fakeResource.js"
import { events, requests } from "../support/fleet.js"
import { fill, makePool, WatchedClock } from "../support/testPool.js"

describe("a quiet pool costs nothing", () => {
  // A tick of a second would take 13 s for the hour and 5 minutes for the day.
  for (const [time, limit] of [["1 hour", 5000], ["1 day", 20_000]] as const) {
    it.scoped(`R9: ${time} of TestClock passes over a quiet pool in an instant`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource()
        const clock = yield* WatchedClock.make
        const pool = yield* makePool(fake.withCheck, clock)
        yield* fill(pool, 10)
        const { sleeps } = clock
        const begin = performance.now()
        yield* TestClock.adjust(time)
        assert.isBelow(performance.now() - begin, limit)
        // A renewal every 9.5 to 9.75 minutes, some sleeps each. A tick of a second would be 86,400.
        assert.isBelow(clock.sleeps - sleeps, 5 * (fake.dials + 10))
        assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
      }))
  }

  it.scoped("R9: a pool that has nothing sleeps not at all", () =>
    Effect.gen(function*() {
      const clock = yield* WatchedClock.make
      yield* makePool(new FakeResource().options, clock)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(clock.sleeps, 0)
    }))
})

describe("many waiters", () => {
  /** How `n` callers fare who ask at the same time for one of 10 connections: milliseconds and bytes, each. */
  const crowd = (n: number) =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* ElasticPool.make({ ...fake.options, maxsize: 10, maxoverflow: 10 })
      const served: Array<number> = []
      let letGo = () => {}
      const gate = new Promise<void>((resolve) => letGo = resolve)
      yield* Effect.forkScoped(Effect.forEach(
        Array.from({ length: 10 }),
        () => pool.use(() => Effect.promise(() => gate)),
        { concurrency: "unbounded", discard: true }
      ))
      while ((yield* pool.stats).busy < 10) yield* Effect.sleep(1)
      global.gc?.()
      const heap = process.memoryUsage().heapUsed
      const begin = performance.now()
      const callers = yield* Effect.fork(Effect.forEach(
        Array.from({ length: n }, (_, i) => i),
        (i) => pool.use(() => Effect.zipRight(Effect.sync(() => served.push(i)), Effect.yieldNow())),
        { concurrency: "unbounded", discard: true }
      ))
      while ((yield* pool.stats).waiting < n) yield* Effect.sleep(1)
      const bytes = (process.memoryUsage().heapUsed - heap) / n
      letGo()
      yield* Fiber.join(callers)
      const millis = (performance.now() - begin) / n
      assert.strictEqual((yield* pool.stats).acquired, n + 10)
      assert.deepInclude(yield* pool.stats, { waiting: 0, busy: 0, size: 10, timeouts: 0 })
      return { served, millis, bytes }
    }).pipe(Effect.scoped)

  it.live("I3: 10,000 waiters on 10 connections are all served, in order, and each costs what one of 1,000 costs", () =>
    Effect.gen(function*() {
      yield* crowd(1000)
      const few = yield* crowd(1000)
      const many = yield* crowd(10_000)
      assert.deepStrictEqual(many.served, Array.from({ length: 10_000 }, (_, i) => i))
      // Quadratic would be ten times as much.
      assert.isBelow(many.millis, Math.max(5 * few.millis, 0.5), `${many.millis} ms, with 1,000 ${few.millis} ms`)
      assert.isBelow(many.bytes, 20_000)
      if (process.env.MEASURE !== undefined) {
        console.log({ few: [few.millis, few.bytes], many: [many.millis, many.bytes] })
      }
    }))

  it.scoped("I3: 10,000 waiters who time out at the same time fail, and the pool lives on", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const limits = { maxsize: 1, maxoverflow: 1, maxwait: "200 millis", whenFull: "fail" } as const
      const pool = yield* makePool({ ...fake.options, ...limits })
      const holder = yield* Effect.fork(pool.use(() => Effect.sleep("1 second")))
      yield* Effect.yieldNow()
      const callers = yield* Effect.fork(Effect.forEach(
        Array.from({ length: 10_000 }),
        () => Effect.flip(pool.use(() => Effect.void)),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("1 second")
      const errors = yield* Fiber.join(callers)
      assert.isTrue(areAll(errors, ({ _tag }) => _tag === "PoolExhausted"))
      yield* Fiber.join(holder)
      assert.deepInclude(yield* pool.stats, { timeouts: 10_000, waiting: 0, idle: 1 })
    }))

  it.scoped("I3: 10,000 waiters who are interrupted in any order leave nothing behind", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* pool.get
        const callers = yield* Effect.forEach(
          Array.from({ length: 10_000 }),
          () => Effect.fork(pool.use(() => Effect.void))
        )
        yield* TestClock.adjust(0)
        assert.strictEqual((yield* pool.stats).waiting, 10_000)
        const shuffled = callers.map((_, i) => callers[(i * 7919) % 10_000])
        yield* Fiber.interruptAll(shuffled)
        assert.strictEqual((yield* pool.stats).waiting, 0)
      }))
      assert.deepInclude(yield* pool.stats, { idle: 1, size: 1 })
    }))
})

describe("R11: many connections", () => {
  const program = fileURLToPath(new URL("../support/stepsProgram.ts", import.meta.url))

  it.scopedLive(
    "costs no more steps for each, of four times as many, and none for a caller",
    () =>
      Effect.gen(function*() {
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, ["--import", "tsx", program, "200", "800"], {
              stdio: ["ignore", "pipe", "inherit"]
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const steps: Record<string, [number, number]> = JSON.parse(yield* Effect.promise(() => text(child.stdout)))
        assert.containsAllKeys(steps, [...Object.keys(events), ...Object.keys(requests)])
        for (const [what, [few, many]] of Object.entries(steps)) {
          const told = `${what}: ${few} steps with 200, ${many} with 800`
          // Quadratic would be sixteen times as many.
          if (what in events) assert.isBelow(many, 8 * few, told)
          // Timers may ring once more or less; a walk would take 600 steps more.
          else assert.isAtMost(many, few + 100, told)
        }
      }),
    240_000
  )
})
