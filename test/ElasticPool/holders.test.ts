import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import type { ElasticPool, PoolError } from "effect-pgpool"
import { PoolHolder } from "effect-pgpool"
import { inspect } from "node:util"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, settle } from "../support/fakeResource.js"
import { fill, makePool } from "../support/testPool.js"

const here = /^test\/ElasticPool\/holders\.test\.ts:\d+:\d+$/

const makeFakePool = (options: ElasticPool.PoolOptions = {}) =>
  makePool({ ...new FakeResource().options, maxsize: 10, maxoverflow: 10, ...options })

/** Holds a connection for ever, and does so in another span than the one in which it has taken it. */
const transfer = <A, E>(pool: ElasticPool.ElasticPool<A, E>) =>
  pool.use(() => Effect.never.pipe(Effect.withSpan("http.client POST"))).pipe(
    Effect.withSpan("transfer"),
    Effect.withSpan("POST /transfer")
  )

const held = <A, E>(effect: Effect.Effect<A, E>) => Effect.zipLeft(Effect.forkScoped(effect), settle)

const names = (frames: ReadonlyArray<PoolHolder.SpanFrame>) => frames.map(({ name }) => name)

const refusalOf = (exit: Exit.Exit<unknown, unknown> | undefined) =>
  Option.getOrThrow(Option.flatMap(Exit.causeOption(exit!), Cause.failureOption)) as PoolError.PoolExhausted

describe("R40: a holder", () => {
  it.scoped("in a span that throws when it is looked at is told without it", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool({ maxsize: 1, maxoverflow: 1, acquireTimeout: "1 seconds" })
      const spoilt = yield* Effect.makeSpan("spoilt")
      Object.defineProperty(spoilt, "name", {
        get() {
          throw new Error("spoilt")
        }
      })
      yield* held(Effect.withParentSpan(pool.use(() => Effect.never), spoilt))
      const [holder] = yield* pool.holders
      assert.deepStrictEqual([holder.takenIn, holder.nowIn], [[], []])
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      assert.include(refusalOf(caller.exit).message, "Held: 1 taken in no span")
    }))

  it.scoped("names the spans in which it took the connection and in which it is now, with their places", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool()
      const fiber = yield* held(transfer(pool))
      yield* TestClock.adjust("12 seconds")
      const [holder, ...others] = yield* pool.holders
      assert.deepStrictEqual(others, [])
      assert.strictEqual(holder.fiber, `#${fiber.id().id}`)
      assert.strictEqual(holder.heldFor, 12_000)
      assert.deepStrictEqual(names(holder.takenIn), ["transfer", "POST /transfer"])
      assert.deepStrictEqual(names(holder.nowIn), ["http.client POST", "transfer", "POST /transfer"])
      for (const { location } of [...holder.takenIn, ...holder.nowIn]) assert.match(location ?? "", here)
      assert.match(
        PoolHolder.describe(holder),
        /^taken in transfer \(\S+\) < POST \/transfer \(\S+\); now in http\.client POST \(\S+\) < transfer; fiber #\d+$/
      )
      // Nobody but a pool of sessions knows.
      assert.deepInclude({ ...holder }, { isRunning: undefined, processId: undefined })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* pool.holders, [])
    }))

  it.scoped("is shown with all that by console.log and as JSON", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool()
      yield* held(transfer(pool))
      const [holder] = yield* pool.holders
      const { fiber, heldFor, nowIn, takenIn } = JSON.parse(JSON.stringify(holder))
      assert.deepEqual({ fiber, heldFor }, { fiber: holder.fiber, heldFor: 0 })
      assert.deepEqual([takenIn, nowIn], [holder.takenIn, holder.nowIn])
      assert.match(
        inspect(holder, { depth: 5 }),
        /name: 'transfer',\s+location: 'test\/ElasticPool\/holders\.test\.ts:/
      )
    }))

  it.scoped("in no span says how to see more", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool()
      const fiber = yield* held(pool.use(() => Effect.never))
      const holders = yield* pool.holders
      const hint = "(Effect.withSpan around the work gives it a name)"
      assert.strictEqual(PoolHolder.describe(holders[0]), `taken in no span, by fiber #${fiber.id().id} ${hint}`)
      assert.strictEqual(PoolHolder.summary(holders), `1 taken in no span, up to 0 ms ${hint}`)
    }))

  it.scoped("whose fiber has ended, and left the connection in a scope that goes on, is now in no span", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool()
      const scope = yield* Scope.make()
      yield* Fiber.join(yield* Effect.fork(Scope.extend(pool.get, scope).pipe(Effect.withSpan("job"))))
      const [holder] = yield* pool.holders
      assert.deepStrictEqual(names(holder.takenIn), ["job"])
      assert.deepStrictEqual(holder.nowIn, [])
      assert.match(PoolHolder.describe(holder), /^taken in job \(\S+\); now in no span; fiber #\d+$/)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* pool.holders, [])
    }))

  it.scoped("is what it was when it was asked for, also when its fiber has gone on since", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool()
      const next = yield* Deferred.make<void>()
      const inSpan = (name: string, effect: Effect.Effect<void>) => Effect.withSpan(effect, name)
      yield* held(
        pool.use(() => Effect.zipRight(inSpan("first", Deferred.await(next)), inSpan("second", Effect.never)))
      )
      const [before] = yield* pool.holders
      yield* Deferred.succeed(next, undefined)
      yield* TestClock.adjust("1 seconds")
      const [after] = yield* pool.holders
      assert.deepStrictEqual([before, after].map(({ nowIn }) => names(nowIn)), [["first"], ["second"]])
      assert.deepStrictEqual([before, after].map(({ heldFor }) => heldFor), [0, 1000])
    }))

  it.scoped("that has waited counts from when it got the connection", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool({ maxsize: 1, maxoverflow: 1 })
      const first = yield* Caller.ask(pool)
      yield* held(transfer(pool))
      yield* TestClock.adjust("3 seconds")
      yield* first.release
      yield* TestClock.adjust("2 seconds")
      const [{ heldFor, takenIn }] = yield* pool.holders
      assert.deepStrictEqual([heldFor, takenIn[0].name], [2000, "transfer"])
    }))

  it.scoped("the one that has held its connection for longest is the first", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool()
      yield* fill(pool, 4)
      for (const span of ["a", "b", "c", "d"]) {
        yield* held(pool.use(() => Effect.never).pipe(Effect.withSpan(span)))
        yield* TestClock.adjust("1 seconds")
      }
      const holders = yield* pool.holders
      assert.deepStrictEqual(holders.map(({ heldFor }) => heldFor), [4000, 3000, 2000, 1000])
      assert.deepStrictEqual(holders.map(({ takenIn }) => takenIn[0].name), ["a", "b", "c", "d"])
    }))
})

describe("R40: PoolExhausted", () => {
  const full = { maxsize: 2, maxoverflow: 2, acquireTimeout: "1 seconds" } as const

  it.scoped("has who held the connections when the caller was refused, whatever comes later", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool(full)
      const holders = [yield* held(transfer(pool)), yield* held(transfer(pool))]
      yield* TestClock.adjust("11 seconds")
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      yield* Fiber.interruptAll(holders)
      yield* held(pool.use(() => Effect.never).pipe(Effect.withSpan("report")))
      const failure = late.failure as PoolError.PoolExhausted
      assert.deepStrictEqual(failure.holders.map(({ takenIn }) => names(takenIn)[0]), ["transfer", "transfer"])
      assert.isTrue(
        failure.message.endsWith(". Held: 2 taken in transfer, up to 12.0 s, now in http.client POST"),
        failure.message
      )
    }))

  it.scoped("of callers that are refused in one moment has one list, and nothing is rendered before it is read", () =>
    Effect.gen(function*() {
      const pool = yield* makeFakePool(full)
      yield* held(transfer(pool))
      yield* held(transfer(pool))
      const callers = yield* Effect.forkScoped(Effect.forEach(
        Array.from({ length: 10_000 }),
        () => Effect.flip(pool.use(() => Effect.void)),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("1 seconds")
      const failures = (yield* Fiber.join(callers)) as Array<PoolError.PoolExhausted>
      assert.lengthOf(failures, 10_000)
      const [{ holders }] = failures
      assert.isTrue(areAll(failures, (failure) => failure.holders === holders))
      // What is not read is not there: only a getter would make it.
      for (const holder of holders) assert.notProperty(Object.getOwnPropertyDescriptors(holder), "takenIn")
      assert.include(failures[9999].message, "Held: 2 taken in transfer")
      const again = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      assert.notStrictEqual((again.failure as PoolError.PoolExhausted).holders, holders)
    }))

  it.scoped("says nothing of holders where there are none", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource({ connect: Effect.never }).options, ...full })
      const late = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 seconds")
      const { holders, message } = late.failure as PoolError.PoolExhausted
      assert.deepStrictEqual(holders, [])
      assert.notInclude(message, "Held")
    }))
})

describe("R40: PoolHolder.summary", () => {
  const holder = (takenIn: string, nowIn: string, heldFor: number): PoolHolder.Holder => ({
    fiber: "#1",
    heldFor,
    takenIn: takenIn === "" ? [] : [{ name: takenIn, location: undefined }],
    nowIn: nowIn === "" ? [] : [{ name: nowIn, location: undefined }],
    isRunning: undefined,
    processId: undefined
  })

  const times = (n: number, one: PoolHolder.Holder) => Array.from({ length: n }, () => one)

  it("has the largest group first, how long its longest has held, and where most of it are now", () => {
    const holders = [
      ...times(6, holder("report", "report", 900)),
      ...times(13, holder("transfer", "http.client POST", 300)),
      holder("transfer", "sql.execute", 12_345)
    ]
    assert.strictEqual(
      PoolHolder.summary(holders),
      "14 taken in transfer, up to 12.3 s, now in http.client POST; 6 in report, up to 900 ms"
    )
  })

  it("counts the small groups together, so that it stays a line", () => {
    const holders = ["a", "b", "c", "d", "e", "f", "g"].flatMap((name, i) => times(9 - i, holder(name, name, 1)))
    assert.match(PoolHolder.summary(holders), /^9 taken in a, up to 1 ms; .*; 5 in e, up to 1 ms; 7 elsewhere$/)
  })

  it("says how to see more only where no holder has a span", () => {
    const hint = /Effect\.withSpan/
    assert.match(PoolHolder.summary([holder("", "", 1), holder("", "", 2)]), hint)
    assert.notMatch(PoolHolder.summary([holder("", "", 1), holder("job", "job", 2)]), hint)
    assert.strictEqual(PoolHolder.summary([]), "")
  })
})
