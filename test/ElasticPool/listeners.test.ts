import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, FastCheck as fc, Fiber, Option, Stream, TestClock } from "effect"
import type { PoolEvent } from "effect-pgpool"
import { Hub } from "../../src/internal/pool/hub.js"
import { Outbox } from "../../src/internal/pool/outbox.js"
import { capacity, heard } from "../../src/internal/watch/heard.js"
import { areAll } from "../support/areAll.js"
import { Caller, FakeResource, settle } from "../support/fakeResource.js"
import { Listening } from "../support/listening.js"
import { makeClosable, makePool } from "../support/testPool.js"

const options = { ...new FakeResource().options, maxsize: 1, maxoverflow: 1_000_000 }

interface Counted {
  readonly _tag: "Counted"
  readonly n: number
}

/** Tells the numbers from 1 on. */
class Counter {
  readonly hub = new Hub<Counted>(new Outbox())
  private n = 0

  tell(times: number): void {
    for (let i = 0; i < times; i++) this.hub.tell(() => ({ _tag: "Counted", n: ++this.n }))
  }
}

/** Reads until there is an event, and so a `Dropped` where there is one before it. */
const isWhole = (events: ReadonlyArray<Counted | PoolEvent.Dropped>, told: number): boolean => {
  let last = 0
  let count = 0
  for (const event of events) {
    if (event._tag === "Dropped") {
      if (count > 0 || event.count <= 0) return false
      count = event.count
    } else {
      if (event.n !== last + count + 1) return false
      last = event.n
      count = 0
    }
  }
  return last === told && count === 0
}

describe("R39: those who listen to a pool", () => {
  it.scoped("what one was too slow for is counted, in its place", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(options)
      const pull = yield* Stream.toPull(pool.events)
      const first = yield* Effect.fork(pull)
      yield* settle
      yield* pool.resize({ maxsize: 2 })
      const events = [yield* Fiber.join(first)]
      for (let i = 3; i <= 3000; i++) yield* pool.resize({ maxsize: i })
      yield* TestClock.adjust(5)
      events.push(yield* pull)
      yield* pool.resize({ maxsize: 1 })
      events.push(yield* pull)
      const sizes = events.map((chunk) =>
        Chunk.toReadonlyArray(chunk).map((event) => event._tag === "Resized" ? event.maxsize : event)
      )
      const missed = 2998 - capacity
      assert.deepStrictEqual(sizes, [
        [2],
        [{ _tag: "Dropped", at: 5, count: missed }, ...Array.from({ length: capacity }, (_, i) => 3 + missed + i)],
        [1]
      ])
    }))

  it("whenever it reads, the events and those that are counted are all there are", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat({ max: 2 * capacity }), fc.nat({ max: 3 })), { maxLength: 12 }),
        (bursts) =>
          Effect.runPromise(Effect.scoped(Effect.gen(function*() {
            const counter = new Counter()
            const read: Array<Counted | PoolEvent.Dropped> = []
            // It reads one by one, and lets others go on in between.
            const reader = yield* Effect.fork(
              Stream.runForEach(
                heard(counter.hub, () => 0),
                (event) => Effect.zipLeft(Effect.sync(() => read.push(event)), Effect.yieldNow())
              )
            )
            yield* settle
            let told = 0
            for (const [times, yields] of bursts) {
              counter.tell(times)
              told += times
              for (let i = 0; i < yields; i++) yield* Effect.yieldNow()
            }
            // What comes last is never dropped.
            counter.hub.end()
            yield* Fiber.join(reader)
            assert.isTrue(isWhole(read, told), JSON.stringify(read.filter(({ _tag }) => _tag === "Dropped")))
          })))
      ),
      { numRuns: 200 }
    ), 120_000)

  it.scoped("each hears all, whatever becomes of the others", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(options)
      const one = yield* Listening.to(pool.events)
      const thrower = yield* Listening.to(pool.events, () => Effect.die(new Error("a bad listener")))
      const interrupted = yield* Listening.to(pool.events)
      const stuck = yield* Listening.to(pool.events, () => Effect.never)
      const two = yield* Listening.to(pool.events)
      yield* pool.resize({ maxsize: 2 })
      yield* settle
      yield* Fiber.interrupt(interrupted.fiber)
      const caller = yield* Caller.ask(pool)
      yield* caller.release
      assert.isTrue(Exit.isFailure(yield* Fiber.await(thrower.fiber)))
      assert.lengthOf(thrower.heard, 1)
      assert.lengthOf(interrupted.heard, 1)
      assert.lengthOf(stuck.heard, 1)
      const told = ["Resized", "Opening", "Opened"]
      for (const { heard } of [one, two]) assert.deepStrictEqual(heard.map(({ _tag }) => _tag), told)
      assert.deepInclude(yield* pool.stats, { idle: 1, busy: 0 })
      yield* Fiber.interrupt(stuck.fiber)
    }))

  it.scoped("it hears what happens from its beginning on, each time anew", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(options)
      yield* pool.resize({ maxsize: 2 })
      const next = Effect.fork(Stream.runHead(pool.events))
      for (const maxsize of [3, 4]) {
        const head = yield* next
        yield* settle
        yield* pool.resize({ maxsize })
        assert.deepInclude(Option.getOrThrow(yield* Fiber.join(head)), { _tag: "Resized", maxsize })
      }
    }))

  it.scoped("one that begins when the pool has closed ends at once", () =>
    Effect.gen(function*() {
      const { close, pool } = yield* makeClosable(options)
      const before = yield* Listening.to(pool.events)
      yield* close
      yield* Fiber.join(before.fiber)
      assert.deepStrictEqual(before.heard.map(({ _tag }) => _tag), ["StateChanged"])
      for (const events of [pool.events, pool.loans]) {
        assert.lengthOf(yield* Stream.runCollect<PoolEvent.PoolEvent | PoolEvent.Loan, never, never>(events), 0)
      }
    }))

  it.scoped("one that calls the pool is served as any other, and no caller waits for it", () =>
    Effect.gen(function*() {
      const pool = yield* makePool(options)
      const listening = yield* Listening.to(pool.loans, (loan) =>
        loan._tag === "Loan" && loan.held === 0 ? Effect.orDie(pool.use(() => Effect.sleep(1))) : Effect.never)
      for (let i = 0; i < 3; i++) {
        yield* pool.use(() =>
          Effect.void
        )
      }
      assert.deepInclude(yield* pool.stats, { acquired: 3, busy: 0 })
      yield* settle
      yield* TestClock.adjust(1)
      yield* settle
      assert.isTrue(areAll(listening.heard, ({ _tag }) => _tag === "Loan"))
      assert.isAbove((yield* pool.stats).acquired, 3)
      yield* Fiber.interrupt(listening.fiber)
    }))
})
