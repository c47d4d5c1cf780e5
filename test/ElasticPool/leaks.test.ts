import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, HashMap, Logger, LogLevel, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { Caller, FakeResource, settle } from "../support/fakeResource.js"
import { FiberCount, fill, makeClosable, makePool, WatchedClock, withLogs } from "../support/testPool.js"

const threshold = { leakThreshold: "10 seconds", maxsize: 200, maxoverflow: 200 } as const

/** Holds a connection that it has taken in a span. */
const hold = <A, E>(pool: ElasticPool.ElasticPool<A, E>, span: string) =>
  Effect.zipLeft(Effect.forkScoped(Effect.withSpan(pool.use(() => Effect.never), span)), settle)

/** The spans that the lines name, in their order. */
const spansOf = (logs: ReadonlyArray<string>) => logs.map((line) => /: taken in (\S+)/.exec(line)?.[1])

describe("R36: leakThreshold", () => {
  it.scoped("one fiber sleeps, however many connections are held", () =>
    Effect.gen(function*() {
      const fibersFor = (options: object) => {
        const fibers = new FiberCount()
        return Effect.gen(function*() {
          const pool = yield* makePool({ ...new FakeResource().options, maxsize: 200, maxoverflow: 200, ...options })
          yield* fill(pool, 200)
          const before = { alive: fibers.alive.size, started: fibers.started }
          yield* Effect.supervised(
            Effect.gen(function*() {
              for (let i = 0; i < 200; i++) yield* hold(pool, "report")
            }),
            fibers
          )
          return { alive: fibers.alive.size - before.alive, started: fibers.started - before.started }
        }).pipe(Effect.supervised(fibers), Effect.scoped)
      }
      const without = yield* fibersFor({})
      const watched = yield* fibersFor({ leakThreshold: "1 minute" })
      assert.isAtMost(watched.started - without.started, 1)
      assert.isAtMost(watched.alive - without.alive, 1)
    }), 60_000)

  it.scoped("each is told once, the oldest first, and those that were given back in time are not", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        const holders = []
        for (const span of ["a", "b", "c", "d", "e"]) {
          holders.push(yield* hold(pool, span))
          yield* TestClock.adjust("1 seconds")
        }
        // From the middle, the front and the end.
        for (const i of [2, 0, 4]) yield* Fiber.interrupt(holders[i])
        yield* TestClock.adjust("5999 millis")
        assert.deepStrictEqual(logs, [])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(spansOf(logs), ["b"])
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(spansOf(logs), ["b", "d"])
        yield* hold(pool, "f")
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(spansOf(logs), ["b", "d", "f"])
        assert.match(
          logs[2],
          /^WARN A connection has been held for more than 10s: taken in f \(.*\.ts:\d+:\d+\); now in f; fiber #\d+$/
        )
      })
    ))

  it.scoped("it is told when one comes back after all", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        const late = yield* hold(pool, "late")
        const early = yield* hold(pool, "early")
        yield* Fiber.interrupt(early)
        yield* TestClock.adjust("12 seconds")
        assert.lengthOf(logs, 1)
        yield* Fiber.interrupt(late)
        yield* settle
        assert.match(
          logs[1],
          /^INFO A connection that was held for more than 10s came back after 12s: taken in late /
        )
        yield* TestClock.adjust("1 hour")
        assert.lengthOf(logs, 2)
      })
    ))

  it.scoped("two hundred at once are ten lines, and one more that counts the rest", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        const callers = yield* Caller.askTimes(pool, 200)
        yield* TestClock.adjust("10 seconds")
        assert.lengthOf(logs, 10)
        for (const caller of callers) yield* caller.letGo
        yield* TestClock.adjust("59 seconds")
        assert.lengthOf(logs, 10)
        yield* TestClock.adjust("1 seconds")
        assert.deepStrictEqual(logs.slice(10), [
          "WARN Beyond 10 lines a minute: 190 more connections were held for more than 10s, 200 that had been held for so long came back."
        ])
        yield* TestClock.adjust("1 hour")
        assert.lengthOf(logs, 11)
        yield* hold(pool, "later")
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(spansOf(logs.slice(11)), ["later"])
      })
    ))

  it.scoped("who had no line when it was late has none when it comes back", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        const callers = yield* Caller.askTimes(pool, 12)
        yield* TestClock.adjust("70 seconds")
        assert.lengthOf(logs, 11)
        for (const untold of callers.slice(10)) yield* untold.release
        assert.lengthOf(logs, 11)
        for (const told of callers.slice(0, 10)) yield* told.release
        assert.lengthOf(logs, 21)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs.slice(21), [
          "INFO Beyond 10 lines a minute: 2 that had been held for so long came back."
        ])
      })
    ))

  it.scoped("those that came back and found no line left are counted at the end of the minute", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        const callers = yield* Caller.askTimes(pool, 10)
        yield* TestClock.adjust("10 seconds")
        for (const caller of callers) yield* caller.release
        yield* TestClock.adjust("59999 millis")
        assert.lengthOf(logs, 10)
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(logs.slice(10), [
          "INFO Beyond 10 lines a minute: 10 that had been held for so long came back."
        ])
      })
    ))

  it.scoped("what has no line is said when the pool closes", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { close, pool } = yield* makeClosable({ ...new FakeResource().options, ...threshold })
        const callers = yield* Caller.askTimes(pool, 12)
        yield* TestClock.adjust("10 seconds")
        for (const caller of callers) yield* caller.letGo
        yield* close
        yield* settle
        assert.lengthOf(logs, 11)
        assert.include(logs[10], ": 2 more connections were held")
      })
    ))

  it.scoped("a warning is one line, whatever the span is called", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        yield* hold(pool, "SELECT *\n  FROM orders")
        yield* TestClock.adjust("10 seconds")
        assert.lengthOf(logs, 1)
        assert.include(logs[0], "taken in SELECT * FROM orders (")
      })
    ))

  it.scoped("the span is that in which it was taken, where its borrower has gone on to another one", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
        yield* Effect.forkScoped(
          Effect.withSpan(pool.use(() => Effect.withSpan(Effect.never, "inner")), "outer")
        )
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(spansOf(logs), ["outer"])
        assert.match(logs[0], /; now in inner \([^)]*\) < outer; fiber/)
      })
    ))

  it.scoped("its lines go where those of its borrower go", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const logger = Logger.make(({ annotations }) => void seen.push(HashMap.toEntries(annotations)))
      const pool = yield* makePool({ ...new FakeResource().options, ...threshold })
      const take = pool.use(() => Effect.sleep("11 seconds"))
      yield* Effect.forkScoped(take.pipe(
        Effect.annotateLogs("request", 7),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      ))
      yield* Effect.forkScoped(take.pipe(
        Logger.withMinimumLogLevel(LogLevel.None),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      ))
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(seen, [[["request", 7]], [["request", 7]]])
    }))

  it.scoped("a suspended pool tells as well who holds a connection: that is what it waits for", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...threshold, suspendTimeout: "1 hour" })
        yield* hold(pool, "report")
        yield* Effect.forkScoped(pool.suspend)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(spansOf(logs), ["report"])
      })
    ))

  it.scoped("I5: nothing sleeps once all are idle and the threshold has passed, nor after the pool was closed", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const clock = yield* WatchedClock.make
        const other = yield* WatchedClock.make
        const options = { ...new FakeResource().options, ...threshold, closeTimeout: 50 }
        yield* fill(yield* makePool({ ...options, leakThreshold: undefined }, other), 3)
        const { close, pool } = yield* makeClosable(options, clock)
        yield* fill(pool, 3)
        assert.strictEqual(clock.asleep, other.asleep + 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(clock.asleep, other.asleep)
        const late = yield* Caller.ask(pool)
        yield* TestClock.adjust("10 seconds")
        yield* Caller.ask(pool)
        const closing = yield* Effect.fork(close)
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(closing)
        yield* late.release
        assert.strictEqual(clock.asleep, 0)
        yield* TestClock.adjust("1 hour")
        assert.lengthOf(logs, 1)
      })
    ))

  it.scoped("I5, R13: what is handed over just before the pool closes is not watched", () =>
    Effect.gen(function*() {
      const clock = yield* WatchedClock.make
      const options = { ...new FakeResource().options, ...threshold, maxsize: 1, maxoverflow: 1, closeTimeout: 50 }
      const { close, pool } = yield* makeClosable(options, clock)
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      // In one step: the waiter hears of it when the pool has begun to close.
      const closing = yield* Effect.fork(Effect.zipRight(holder.letGo, close))
      yield* settle
      yield* TestClock.adjust("50 millis")
      yield* Fiber.join(closing)
      assert.isDefined(waiter.value)
      assert.strictEqual(clock.asleep, 0)
    }))
})
