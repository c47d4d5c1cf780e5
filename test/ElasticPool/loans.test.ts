import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, identity, Schedule, TestClock } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { use } from "../../src/internal/borrow.js"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import type { State } from "../support/borrower.js"
import { make } from "../support/borrower.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { Caller, fail, failTransiently, FakeResource, hang, ok, settle, slow } from "../support/fakeResource.js"
import { Listening } from "../support/listening.js"
import { makeClosable, makePool } from "../support/testPool.js"

type Pool = ElasticPool.ElasticPool<Fake, FakeFailure>

const pass = (millis: number) => Effect.zipRight(TestClock.adjust(millis), settle)

/** Holds a connection for so long, in a span. */
const work = (pool: Pool, span: string, millis: number) =>
  Effect.zipLeft(Effect.fork(Effect.withSpan(pool.use(() => Effect.sleep(millis)), span)), settle)

const one = { maxsize: 1, maxoverflow: 1 } as const

const squashed = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.match(exit, { onFailure: Cause.squash, onSuccess: identity }) as { readonly _tag?: string }

describe("R39: the loans of a pool", () => {
  it.scoped("who gets a connection: when it asked, how long it waited and held it, and its span", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000_000)
      const pool = yield* makePool({ ...new FakeResource({ connect: slow(50) }).options, ...one })
      const { heard } = yield* Listening.to(pool.loans)
      yield* work(pool, "first", 100)
      yield* pass(20)
      yield* work(pool, "second", 30)
      yield* pass(500)
      yield* Effect.fork(pool.use(() => Effect.sleep(7)))
      yield* pass(100)
      assert.deepStrictEqual(heard.map((loan) => ({ ...loan, at: loan.at - 1_000_000_000 })), [
        { _tag: "Loan", at: 150, asked: 1_000_000_000, waited: 50, held: 100, outcome: "returned", span: "first" },
        { _tag: "Loan", at: 180, asked: 1_000_000_020, waited: 130, held: 30, outcome: "returned", span: "second" },
        { _tag: "Loan", at: 527, asked: 1_000_000_520, waited: 0, held: 7, outcome: "returned", span: undefined }
      ])
    }))

  it.scoped("whoever fails in its use has returned its connection", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one })
      const listening = yield* Listening.to(pool.loans)
      yield* Effect.flip(pool.use(() => Effect.fail("no")))
      yield* Effect.flip(Effect.scoped(Effect.zipRight(pool.get, Effect.fail("no"))))
      yield* settle
      assert.deepStrictEqual(listening.lines, [
        "0 Loan asked=0 waited=0 held=0 outcome=returned",
        "0 Loan asked=0 waited=0 held=0 outcome=returned"
      ])
    }))

  it.scoped("who gets none: its wait was too long, interrupted, or not allowed", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one, maxWaiting: 2, acquireTimeout: 300 })
      yield* Caller.ask(pool)
      const listening = yield* Listening.to(pool.loans)
      yield* work(pool, "patient", 0)
      yield* pass(100)
      const impatient = yield* work(pool, "impatient", 0)
      yield* work(pool, "late", 0)
      yield* pass(50)
      yield* Fiber.interrupt(impatient)
      yield* pass(500)
      assert.deepStrictEqual(listening.lines, [
        "100 Loan asked=100 waited=0 held=0 outcome=queueFull span=late",
        "150 Loan asked=100 waited=50 held=0 outcome=interrupted span=impatient",
        "300 Loan asked=0 waited=300 held=0 outcome=acquireTimeout span=patient"
      ])
    }))

  it.scoped("who is interrupted after it was handed a connection, and before it had it", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one })
      const holder = yield* Caller.ask(pool)
      const listening = yield* Listening.to(pool.loans)
      const waiter = yield* work(pool, "waiter", 0)
      yield* Effect.zipRight(holder.letGo, Effect.sync(() => waiter.unsafeInterruptAsFork(waiter.id())))
      yield* settle
      assert.deepStrictEqual(listening.lines, [
        "0 Loan asked=0 waited=0 held=0 outcome=returned",
        "0 Loan asked=0 waited=0 held=0 outcome=interrupted span=waiter"
      ])
      assert.deepInclude(yield* pool.stats, { idle: 1, busy: 0, acquired: 1 })
    }))

  it.scoped("who gets none: its connect has failed, or fails again and again", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: fail })
      const connectRetry = Schedule.spaced(100).pipe(Schedule.intersect(Schedule.recurs(1)))
      const pool = yield* makePool({ ...fake.options, ...one, connectRetry })
      const listening = yield* Listening.to(pool.loans)
      yield* work(pool, "failed", 0)
      fake.connect = failTransiently
      yield* work(pool, "given up", 0)
      yield* pass(1000)
      assert.deepStrictEqual(listening.lines, [
        "0 Loan asked=0 waited=0 held=0 outcome=failed span=failed",
        "100 Loan asked=0 waited=100 held=0 outcome=connectRetry span=given up"
      ])
    }))

  it.scoped("whose connection is cut off: at that time, whenever its borrower comes to its end", () =>
    Effect.gen(function*() {
      const { close, pool } = yield* makeClosable({ ...new FakeResource().options, ...one, closeTimeout: 500 })
      const listening = yield* Listening.to(pool.loans)
      const stuck = yield* work(pool, "stuck", 10_000)
      yield* work(pool, "waiting", 0)
      yield* pass(100)
      yield* Effect.fork(close)
      yield* pass(500)
      assert.deepStrictEqual(listening.lines, [
        "100 Loan asked=0 waited=100 held=0 outcome=closed span=waiting",
        "600 Loan asked=0 waited=0 held=600 outcome=cutOff span=stuck"
      ])
      assert.isTrue(listening.hasEnded)
      yield* pass(20_000)
      yield* Fiber.join(stuck)
      assert.deepStrictEqual(listening.lines, [])
    }))

  it.scoped("a borrower that ends after a drain has cut it off is told of once", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one })
      const listening = yield* Listening.to(pool.loans)
      yield* work(pool, "stuck", 1000)
      yield* Effect.fork(pool.drain({ within: 200 }))
      yield* pass(5000)
      assert.deepStrictEqual(listening.lines, ["200 Loan asked=0 waited=0 held=200 outcome=cutOff span=stuck"])
    }))

  const unused = Cause.die("unused")

  /** Finds after a while that its connection is of no use, before it has done anything. */
  const useInVain = (state: State) =>
    use(state, () => Effect.zipRight(Effect.sleep(100), Effect.failCause(unused)), {
      isUnused: (cause) => cause === unused
    })

  it.scoped("who finds its connection lost before it has used it: one loan, also if the next one is well", () =>
    Effect.gen(function*() {
      const state = yield* makeState({ ...new FakeResource().options, ...one })
      const listening = yield* Listening.to(fromState(state).loans)
      let tries = 0
      const isLost = () => ++tries === 1
      yield* use(state, () => isLost() ? Effect.failCause(unused) : Effect.void, { isUnused: () => true })
      yield* settle
      assert.deepStrictEqual(listening.lines, ["0 Loan asked=0 waited=0 held=0 outcome=returned"])
      const { acquired, holdTimes, waitTimes } = state.stats()
      assert.deepStrictEqual([tries, acquired, waitTimes.count, holdTimes.count], [2, 1, 1, 1])
    }))

  it.scoped("whose connection is cut off before it has used it: one loan", () =>
    Effect.gen(function*() {
      const state = yield* makeState({ ...new FakeResource().options, ...one })
      const listening = yield* Listening.to(fromState(state).loans)
      const borrower = yield* Effect.fork(Effect.exit(useInVain(state)))
      yield* settle
      yield* Effect.fork(fromState(state).drain({ within: 50 }))
      yield* pass(1000)
      assert.strictEqual(squashed(yield* Fiber.join(borrower))._tag, "PoolClosed")
      yield* settle
      assert.deepStrictEqual(listening.lines, ["50 Loan asked=0 waited=0 held=50 outcome=cutOff"])
      const { acquired, refused } = state.stats()
      assert.deepStrictEqual([acquired, refused.closed], [1, 0])
    }))

  it.scoped("who waited while the pool was suspended: that time does not count", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, ...one })
      const holder = yield* Caller.ask(pool)
      const listening = yield* Listening.to(pool.loans)
      yield* work(pool, "waiter", 10)
      yield* pass(100)
      yield* Effect.fork(pool.suspend)
      yield* settle
      yield* holder.release
      yield* pass(1000)
      yield* pool.resume
      yield* pass(10)
      assert.deepStrictEqual(listening.lines, [
        "100 Loan asked=0 waited=0 held=100 outcome=returned",
        "1110 Loan asked=0 waited=100 held=10 outcome=returned span=waiter"
      ])
    }))

  it.scoped("each of those that share a connection", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 1, maxoverflow: 1, share: 2 })
      const listening = yield* Listening.to(fromState(state).loans)
      const first = ask(true)
      yield* pass(10)
      const second = ask(true)
      assert.strictEqual(first.slot, second.slot)
      yield* pass(10)
      first.leave()
      yield* pass(10)
      second.leave()
      yield* settle
      assert.deepStrictEqual(listening.lines, [
        "20 Loan asked=0 waited=0 held=20 outcome=returned",
        "30 Loan asked=10 waited=0 held=20 outcome=returned"
      ])
    }))

  for (const by of ["use", "get"] as const) {
    const ask = (pool: Pool) => by === "use" ? pool.use(() => Effect.void) : Effect.scoped(pool.get)

    it.scoped(`${by}: who is handed a lost connection and then another one is told of once`, () =>
      Effect.gen(function*() {
        const pool = yield* makePool({ ...new FakeResource().options, ...one })
        const holder = yield* Caller.ask(pool)
        const listening = yield* Listening.to(pool.loans)
        const borrower = yield* Effect.fork(Effect.withSpan(ask(pool), "borrower"))
        yield* pass(100)
        yield* Effect.zipRight(holder.letGo, pool.invalidate(holder.value!))
        yield* Fiber.join(borrower)
        yield* settle
        assert.deepStrictEqual(listening.lines, [
          "100 Loan asked=0 waited=0 held=100 outcome=returned",
          "100 Loan asked=0 waited=100 held=0 outcome=returned span=borrower"
        ])
        // One that was lent in vain is no loan of its caller.
        const { acquired, holdTimes, waited, waitedTotal, waitTimes } = yield* pool.stats
        assert.deepStrictEqual([acquired, waited, waitTimes.count, holdTimes.count], [2, 2, 2, 2])
        assert.strictEqual(waitedTotal, 100)
      }))

    it.scoped(`${by}: whose connection is cut off after it was handed over, and before it had it, is told of once`, () =>
      Effect.gen(function*() {
        const state = yield* makeState({ ...new FakeResource().options, ...one })
        const pool = fromState(state)
        const holder = yield* Caller.ask(pool)
        const listening = yield* Listening.to(pool.loans)
        const borrower = yield* Effect.fork(Effect.withSpan(Effect.exit(ask(pool)), "borrower"))
        yield* settle
        yield* Effect.fork(pool.drain)
        yield* settle
        // In one step: the borrower's fiber has not gone on yet.
        yield* Effect.zipRight(holder.letGo, Effect.sync(() => state.lifecycle["cutOff"]()))
        assert.strictEqual(squashed(yield* Fiber.join(borrower))._tag, "PoolClosed")
        yield* settle
        assert.deepStrictEqual(listening.lines, [
          "0 Loan asked=0 waited=0 held=0 outcome=returned",
          "0 Loan asked=0 waited=0 held=0 outcome=closed span=borrower"
        ])
        const { acquired, refused } = state.stats()
        assert.deepStrictEqual([acquired, refused.closed], [1, 1])
      }))

    for (const how of ["refused", "interrupted"] as const) {
      it.scoped(`${by}: who is handed a lost connection, and is ${how} in its wait for another one: of that wait`, () =>
        Effect.gen(function*() {
          const fake = new FakeResource({ connect: (id) => id === 1 ? ok : hang })
          const pool = yield* makePool({ ...fake.options, ...one, acquireTimeout: 300 })
          const holder = yield* Caller.ask(pool)
          const borrower = yield* Effect.fork(Effect.withSpan(ask(pool), "borrower"))
          yield* pass(100)
          const listening = yield* Listening.to(pool.loans)
          yield* Effect.zipRight(holder.letGo, pool.invalidate(holder.value!))
          yield* pass(200)
          if (how === "interrupted") yield* Fiber.interrupt(borrower)
          yield* pass(100)
          assert.deepStrictEqual(listening.lines.slice(1), [
            how === "interrupted"
              ? "300 Loan asked=100 waited=200 held=0 outcome=interrupted span=borrower"
              : "400 Loan asked=100 waited=300 held=0 outcome=acquireTimeout span=borrower"
          ])
        }))
    }

    it.scoped(`${by}: who is handed lost connections only is told of once`, () =>
      Effect.gen(function*() {
        const isUsable = (): boolean => state.stats().busy === 0
        const state: State = yield* makeState({ ...new FakeResource().options, ...one }, {
          share: 1,
          canShare: () => false,
          isUsable
        })
        const pool = fromState(state)
        const listening = yield* Listening.to(pool.loans)
        yield* Effect.flip(Effect.withSpan(ask(pool), "borrower"))
        yield* settle
        assert.deepStrictEqual(listening.lines, ["0 Loan asked=0 waited=0 held=0 outcome=handOver span=borrower"])
        assert.deepInclude(state.stats(), { acquired: 0, waited: 0, heldTotal: 0 })
      }))
  }
})
