import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, TestClock } from "effect"
import type { PoolEvent } from "effect-pgpool"
import { PoolHolder } from "effect-pgpool"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { areAll } from "../support/areAll.js"
import type { State } from "../support/borrower.js"
import { make } from "../support/borrower.js"
import { Caller, fail, failTransiently, FakeResource, hang, ok, settle, slow, stuck } from "../support/fakeResource.js"
import { Listening } from "../support/listening.js"
import { makeClosable, makePool, WatchedClock, withLogs } from "../support/testPool.js"

/** All that happens and has no time to pass has happened, and so much time has passed. */
const pass = (millis: number) => Effect.zipRight(TestClock.adjust(millis), settle)

const only = <Tag extends PoolEvent.PoolEvent["_tag"]>(events: ReadonlyArray<PoolEvent.PoolEvent>, tag: Tag) =>
  events.filter((event): event is Extract<PoolEvent.PoolEvent, { readonly _tag: Tag }> => event._tag === tag)

describe("R39: the events of a pool", () => {
  it.scoped("a burst into overflow", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(50) })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 2, maxwait: 100 })
      const listening = yield* Listening.to(pool.events)
      const first = yield* Caller.ask(pool)
      yield* pass(60)
      const second = yield* Caller.ask(pool)
      yield* pass(200)
      yield* first.release
      yield* second.release
      assert.deepStrictEqual(listening.heard, [
        { _tag: "Opening", at: 0, connection: 1 },
        { _tag: "Opened", at: 50, connection: 1, took: 50, processId: undefined },
        { _tag: "Opening", at: 160, connection: 2 },
        { _tag: "Overflow", at: 160, connection: 2, size: 2 },
        { _tag: "Opened", at: 210, connection: 2, took: 50, processId: undefined },
        { _tag: "Closed", at: 260, connection: 2, reason: "surplus", age: 50, uses: 1 }
      ])
    }))

  it.scoped("an outage, and its end", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, connectRetry: Schedule.spaced(1000) })
      const listening = yield* Listening.to(pool.events)
      yield* Caller.ask(pool)
      const [cause] = only(listening.heard, "OutageBegan").map(({ cause }) => cause)
      assert.deepInclude(cause, { _tag: "FakeFailure", id: 1 })
      assert.strictEqual(only(listening.heard, "ConnectFailed")[0].cause, cause)
      assert.deepStrictEqual(listening.lines, [
        "0 Opening connection=1",
        "0 ConnectFailed connection=1 kind=transient",
        "0 OutageBegan",
        "0 Closed connection=1 reason=failed age=0 uses=0"
      ])
      yield* pass(1000)
      fake.connect = ok
      yield* pass(1000)
      assert.deepStrictEqual(listening.lines, [
        "1000 Opening connection=2",
        "1000 ConnectFailed connection=2 kind=transient",
        "1000 Closed connection=2 reason=failed age=0 uses=0",
        "2000 Opening connection=3",
        "2000 Opened connection=3 took=0",
        "2000 OutageEnded lasted=2000"
      ])
    }))

  const ends = {
    closed: [
      "0 OutageBegan",
      "500 StateChanged from=open to=closing",
      "500 OutageEnded lasted=500",
      "500 Refused reason=closed"
    ],
    drained: [
      "0 OutageBegan",
      "500 StateChanged from=open to=draining",
      "2500 Exhausted limit=outageTimeout waited=2500",
      "2500 OutageEnded lasted=2500",
      "5500 StateChanged from=draining to=closing"
    ]
  }

  for (const [end, lines] of Object.entries(ends)) {
    it.scoped(`an outage that lasts when the pool is ${end} ends with it`, () =>
      Effect.gen(function*() {
        const fake = new FakeResource({ connect: failTransiently })
        const options = { maxsize: 1, connectRetry: Schedule.spaced(1000), acquireTimeout: 1000, outageTimeout: 2500 }
        const { close, pool } = yield* makeClosable({ ...fake.options, ...options })
        const listening = yield* Listening.to(pool.events)
        yield* Caller.ask(pool)
        yield* pass(500)
        yield* Effect.fork(end === "closed" ? close : pool.drain)
        yield* pass(5000)
        yield* close
        yield* settle
        assert.isTrue(listening.hasEnded)
        assert.deepStrictEqual(
          listening.lines.filter((line) => /Outage|State|Refused|Exhausted/.test(line)),
          lines
        )
      }))
  }

  it.scoped("connectRetry comes to its end, for each caller", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: failTransiently })
      const connectRetry = Schedule.spaced(1000).pipe(Schedule.intersect(Schedule.recurs(1)))
      const pool = yield* makePool({ ...fake.options, maxsize: 2, connectRetry })
      const listening = yield* Listening.to(pool.events)
      yield* Caller.askTimes(pool, 2)
      yield* pass(5000)
      assert.deepStrictEqual(listening.lines.filter((line) => /Outage|Exhausted/.test(line)), [
        "0 OutageBegan",
        "1000 Exhausted limit=connectRetry waited=1000",
        "1000 Exhausted limit=connectRetry waited=1000",
        "1000 OutageEnded lasted=1000"
      ])
    }))

  it.scoped("a failure of another kind, which no outage follows", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: fail })
      const pool = yield* makePool({ ...fake.options, maxsize: 1 })
      const listening = yield* Listening.to(pool.events)
      yield* Caller.ask(pool)
      assert.deepStrictEqual(listening.lines, [
        "0 Opening connection=1",
        "0 ConnectFailed connection=1 kind=other",
        "0 Closed connection=1 reason=failed age=0 uses=0"
      ])
    }))

  it.scoped("a connect that hangs and is given up for its permit has not failed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: (id) => id === 1 ? hang : ok })
      const pool = yield* makePool({ ...fake.options, maxsize: 2, maxoverflow: 2 })
      const listening = yield* Listening.to(pool.events)
      yield* Caller.ask(pool)
      yield* pass(900)
      yield* Caller.ask(pool)
      assert.deepStrictEqual(listening.lines, [
        "0 Opening connection=1",
        "800 Opening connection=2",
        "800 Opened connection=2 took=0",
        "900 Closed connection=1 reason=abandoned age=0 uses=0",
        "900 Opening connection=3",
        "900 Opened connection=3 took=0"
      ])
      const { closed, connectFailures, lastConnectError } = yield* pool.stats
      assert.deepInclude(closed, { abandoned: 1, failed: 0 })
      assert.deepStrictEqual([connectFailures, lastConnectError], [0, undefined])
    }))

  it.scoped("a connect whose fiber ends is one that has failed", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(1000) })
      const { ask, state } = yield* make({ maxsize: 1 }, fake)
      const heard: Array<PoolEvent.PoolEvent> = []
      state.news.events.listen({ hear: (event) => void heard.push(event), end: () => {} })
      ask(false)
      yield* settle
      const [slot] = state.connections.all
      slot.fiber!.unsafeInterruptAsFork(slot.fiber!.id())
      yield* settle
      assert.deepStrictEqual(heard.map(({ _tag }) => _tag), ["Opening", "ConnectFailed", "OutageBegan", "Closed"])
      assert.strictEqual(state.stats().connectFailures, 1)
    }))

  it.scoped("a connection is closed when its permit is back, and not before", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ close: stuck })
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1, cleanupTimeout: 100 })
      const listening = yield* Listening.to(pool.events)
      const holder = yield* Caller.ask(pool)
      yield* pool.invalidate(holder.value!)
      yield* holder.release
      yield* Caller.ask(pool)
      yield* pass(99)
      assert.deepStrictEqual(listening.lines, ["0 Opening connection=1", "0 Opened connection=1 took=0"])
      yield* pass(1)
      assert.deepStrictEqual(listening.lines, [
        "100 Closed connection=1 reason=invalidated age=100 uses=1",
        "100 Opening connection=2",
        "100 Opened connection=2 took=0"
      ])
    }).pipe((test) => withLogs(() => test)))

  it.scoped("refusals, with the holders", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({
        ...new FakeResource().options,
        maxsize: 1,
        maxoverflow: 1,
        maxWaiting: 2,
        acquireTimeout: 500
      })
      yield* Effect.forkScoped(Effect.withSpan(pool.use(() => Effect.never), "report"))
      yield* pass(10)
      const listening = yield* Listening.to(pool.events)
      const [, , third] = yield* Caller.askTimes(pool, 3)
      yield* pass(500)
      const exhausted = only(listening.heard, "Exhausted")
      assert.deepStrictEqual(exhausted.map(({ stats }) => stats.waiting), [2, 1])
      assert.deepStrictEqual(exhausted.map(({ holders }) => PoolHolder.summary(holders)), [
        "1 taken in report, up to 510 ms",
        "1 taken in report, up to 510 ms"
      ])
      assert.strictEqual(third.failure?._tag, "PoolQueueFull")
      assert.deepStrictEqual(listening.lines, [
        "10 Refused reason=queueFull",
        "510 Exhausted limit=acquireTimeout waited=500",
        "510 Exhausted limit=acquireTimeout waited=500"
      ])
    }))

  it.scoped("who is handed only connections that were lost is refused, once", () =>
    Effect.gen(function*() {
      const isUsable = (): boolean => state.stats().busy === 0
      const alone = { share: 1, canShare: () => false }
      const state: State = yield* makeState({ ...new FakeResource().options, maxsize: 1 }, { ...alone, isUsable })
      const pool = fromState(state)
      const listening = yield* Listening.to(pool.events)
      yield* Effect.flip(pool.use(() => Effect.void))
      yield* listening.hasCaughtUp
      assert.deepStrictEqual(only(listening.heard, "Exhausted").map(({ limit }) => limit), ["handOver"])
      assert.lengthOf(only(listening.heard, "Closed"), 11)
    }))

  it.scoped("a leak that comes back, also without a line in the log", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const options = {
          ...new FakeResource().options,
          maxsize: 20,
          maxoverflow: 20,
          leakThreshold: "10 seconds"
        } as const
        const pool = yield* makePool(options)
        const callers = yield* Caller.askTimes(pool, 12)
        const listening = yield* Listening.to(pool.events)
        yield* pass(60_000)
        assert.lengthOf(logs, 10)
        assert.deepStrictEqual(
          listening.lines,
          callers.map(({ value }) => `10000 Leaked connection=${value!.id}`)
        )
        for (const caller of callers) yield* caller.letGo
        yield* settle
        assert.isTrue(areAll(only(listening.heard, "CameBack"), ({ holder }) => holder.heldFor === 60_000))
        assert.deepStrictEqual(
          listening.lines,
          callers.map(({ value }) => `60000 CameBack connection=${value!.id}`)
        )
      })
    ))

  it.scoped("suspend, resume, drain and close; the last connection that closes is the last that is told", () =>
    Effect.gen(function*() {
      const { close, pool } = yield* makeClosable({ ...new FakeResource().options, maxsize: 1, closeTimeout: 500 })
      const listening = yield* Listening.to(pool.events)
      const idle = yield* Caller.ask(pool)
      yield* idle.release
      yield* Effect.zip(pool.suspend, pool.suspend)
      yield* Effect.zip(pool.resume, pool.resume)
      const holder = yield* Caller.ask(pool)
      const waiter = yield* Caller.ask(pool)
      yield* Effect.fork(pool.drain)
      yield* Effect.fork(pool.drain)
      yield* Caller.ask(pool)
      const closing = yield* Effect.fork(close)
      yield* settle
      assert.strictEqual(waiter.failure?._tag, "PoolClosed")
      assert.isFalse(listening.hasEnded)
      yield* pass(500)
      yield* Fiber.join(closing)
      yield* settle
      assert.deepStrictEqual(listening.lines, [
        "0 Opening connection=1",
        "0 Opened connection=1 took=0",
        "0 StateChanged from=open to=suspended",
        "0 Closed connection=1 reason=evicted age=0 uses=1",
        "0 StateChanged from=suspended to=open",
        "0 Opening connection=2",
        "0 Opened connection=2 took=0",
        "0 StateChanged from=open to=draining",
        "0 Refused reason=closed",
        "0 StateChanged from=draining to=closing",
        "0 Refused reason=closed",
        "500 Closed connection=2 reason=closed age=500 uses=1"
      ])
      assert.isTrue(listening.hasEnded)
      yield* Fiber.join(listening.fiber)
      yield* holder.release
    }))

  it.scoped("resize, if it changes anything", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, maxsize: 1, maxoverflow: 5 })
      const listening = yield* Listening.to(pool.events)
      yield* pool.resize({ maxsize: 1, maxoverflow: 5 })
      yield* pool.resize({ maxsize: 2 })
      yield* pool.resize({})
      yield* Effect.exit(pool.resize({ maxsize: -1 }))
      yield* pool.resize({ maxoverflow: 6 })
      yield* settle
      assert.deepStrictEqual(listening.lines, [
        "0 Resized maxsize=2 maxoverflow=5",
        "0 Resized maxsize=2 maxoverflow=6"
      ])
    }))

  it.scoped("the time of day is that of the pool's clock, also where that is set back or fails", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_700_000_000_000)
      const clock = yield* WatchedClock.make
      let isBroken = false
      const broken = Object.assign(Object.create(clock), {
        unsafeCurrentTimeMillis: () => {
          if (isBroken) throw new Error("no time")
          return clock.unsafeCurrentTimeMillis()
        }
      }) as typeof clock
      const pool = yield* makePool({ ...new FakeResource().options, maxsize: 1, maxoverflow: 10 }, broken)
      const { heard } = yield* Listening.to(pool.events)
      const resize = (maxsize: number) => Effect.zipRight(pool.resize({ maxsize }), settle)
      yield* resize(2)
      clock.ahead = -3_600_000
      yield* resize(3)
      isBroken = true
      yield* resize(4)
      assert.deepStrictEqual(heard.map(({ at }) => at), [1_700_000_000_000, 1_699_996_400_000, 1_699_996_400_000])
    }))

  it.scoped("nothing is made where nobody listens", () =>
    Effect.gen(function*() {
      let asked = 0
      const alone = { share: 1, canShare: () => false }
      const state: State = yield* makeState({ ...new FakeResource().options, maxsize: 5, closeTimeout: 0 }, {
        ...alone,
        processId: () => ++asked
      })
      const opens = Effect.zipRight(Effect.sync(() => state.request(false, () => {})), settle)
      yield* opens
      assert.strictEqual(asked, 0)
      const leave = state.news.events.listen({ hear: () => {}, end: () => {} })
      yield* opens
      assert.strictEqual(asked, 1)
      leave()
      yield* opens
      assert.strictEqual(asked, 1)
      assert.strictEqual(state.stats().opened, 3)
    }))
})
