import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope, TestClock } from "effect"
import type { ElasticPool, PoolError } from "effect-pgpool"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import type { ElasticPoolState } from "../../src/internal/pool/pool.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { Caller, FakeResource, settle, slow } from "../support/fakeResource.js"
import { fill, makePool } from "../support/testPool.js"

type Pool = ElasticPool.ElasticPool<Fake, FakeFailure>
type Ask = (pool: Pool) => Effect.Effect<Fake, FakeFailure | PoolError.PoolError>

const asks: { readonly [name: string]: Ask } = {
  use: (pool) => pool.use((a) => Effect.succeed(a)),
  get: (pool) => Effect.scoped(pool.get)
}

/** A pool of one connection, somebody who has it, and one caller more. */
const two = (ask: Ask) =>
  Effect.gen(function*() {
    const fake = new FakeResource()
    const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
    const holder = yield* Caller.ask(pool)
    const borrower = yield* Effect.fork(ask(pool))
    yield* settle
    assert.deepInclude(yield* pool.stats, { busy: 1, waiting: 1 })
    // In one step: the borrower's fiber has not gone on when its connection is lost.
    const loseOnHandOver = Effect.zipRight(holder.letGo, pool.invalidate(holder.value!))
    return { borrower, fake, loseOnHandOver, pool }
  })

/** A pool whose connections are each well until it is lent. */
const losing = (fake: FakeResource) =>
  Effect.gen(function*() {
    const isUsable = (): boolean => state.stats().busy === 0
    const state: ElasticPoolState<Fake, FakeFailure> = yield* makeState(
      { ...fake.options, maxsize: 1, maxoverflow: 1, expiresJitter: 0 },
      { share: 1, canShare: () => false, isUsable }
    )
    return { fake, state }
  })

describe("a connection that is lost between its hand-over and its use", () => {
  for (const [name, ask] of Object.entries(asks)) {
    it.scoped(`R7, I7: ${name}: the caller gets another one`, () =>
      Effect.gen(function*() {
        const { borrower, fake, loseOnHandOver, pool } = yield* two(ask)
        yield* loseOnHandOver
        assert.strictEqual((yield* Fiber.join(borrower)).id, 2)
        yield* settle
        assert.deepStrictEqual(fake.closed, [1])
        assert.deepInclude(yield* pool.stats, { idle: 1, size: 1, waiting: 0 })
      }))

    it.scoped(`R13: ${name}: a later caller is refused by a drained pool, also where an earlier one had lost its connection`, () =>
      Effect.gen(function*() {
        const { borrower, loseOnHandOver, pool } = yield* two(ask)
        yield* loseOnHandOver
        yield* Fiber.join(borrower)
        yield* pool.drain
        assert.strictEqual((yield* Effect.flip(ask(pool)))._tag, "PoolClosed")
      }))

    it.scoped(`R13: ${name}: also while the pool is drained, for the caller came before`, () =>
      Effect.gen(function*() {
        const { borrower, loseOnHandOver, pool } = yield* two(ask)
        yield* Effect.fork(pool.drain)
        yield* settle
        assert.strictEqual((yield* pool.stats).state, "draining")
        yield* loseOnHandOver
        assert.strictEqual((yield* Fiber.join(borrower)).id, 2)
      }))

    it.scoped(`I7, I8: ${name}: where each one is lost, the caller fails typed after eleven, and all permits are back`, () =>
      Effect.gen(function*() {
        const { fake, state } = yield* losing(new FakeResource())
        const failure = yield* Effect.flip(ask(fromState(state)))
        assert.deepInclude(failure, { _tag: "PoolExhausted", limit: "handOver" })
        assert.include((failure as PoolError.PoolExhausted).message, "was lost before its use")
        assert.strictEqual(fake.dials, 11)
        yield* settle
        assert.deepInclude(state.stats(), { size: 0, waiting: 0 })
      }))

    it.scoped(`R40: ${name}: the error of that caller says how long it waited, each wait once`, () =>
      Effect.gen(function*() {
        const { fake, state } = yield* losing(new FakeResource({ connect: slow("1 second") }))
        const asking = yield* Effect.fork(Effect.flip(ask(fromState(state))))
        for (let second = 1; second <= 11; second++) {
          yield* settle
          yield* TestClock.adjust("1 second")
        }
        const failure = yield* Fiber.join(asking)
        assert.strictEqual(fake.dials, 11)
        assert.deepInclude(failure, { _tag: "PoolExhausted", limit: "handOver", waited: 11_000 })
      }))
  }

  it.scoped("R2, I7: an idle one that is known to be dead is retired on the way, and the next one is lent", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const dead = new Set<number>()
      const state = yield* makeState({ ...fake.options, maxsize: 3 }, {
        share: 1,
        canShare: () => false,
        isUsable: ({ id }) => !dead.has(id)
      })
      const pool = fromState(state)
      for (const caller of yield* Caller.askTimes(pool, 3)) yield* caller.release
      dead.add(3).add(2)
      assert.strictEqual((yield* pool.use((a) => Effect.succeed(a))).id, 1)
      yield* settle
      assert.sameMembers(fake.closed, [2, 3])
      assert.strictEqual(state.stats().closed.invalidated, 2)
      assert.strictEqual(fake.dials, 3)
    }))
})

describe("I4, R12: a scope that is closed before its caller has what it asked for", () => {
  const isInterrupted = (exit: Exit.Exit<unknown, unknown> | undefined): boolean =>
    exit !== undefined && Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

  const closedScope = Effect.tap(Scope.make(), (scope) => Scope.close(scope, Exit.void))

  it.scoped("the caller is interrupted, and the next one has the connection for itself", () =>
    Effect.gen(function*() {
      const { options } = new FakeResource()
      const pool = yield* makePool({ ...options, maxsize: 1, maxoverflow: 1 })
      const holder = yield* Caller.ask(pool)
      const late = yield* Caller.ask(pool)
      const next = yield* Caller.ask(pool)
      // The fiber of the caller still waits.
      yield* late.letGo
      yield* holder.release
      assert.isTrue(isInterrupted(late.exit))
      assert.strictEqual(next.value, holder.value)
      assert.deepInclude(yield* pool.stats, { acquired: 2, busy: 1, waiting: 0 })
    }))

  it.scoped("also where a connection is ready, which is lent again", () =>
    Effect.gen(function*() {
      const fake = new FakeResource()
      const pool = yield* makePool({ ...fake.options, maxsize: 1, maxoverflow: 1 })
      yield* fill(pool, 1)
      const exit = yield* Effect.exit(Scope.extend(pool.get, yield* closedScope))
      assert.isTrue(isInterrupted(exit))
      yield* pool.use(() => Effect.void)
      assert.strictEqual(fake.dials, 1)
      const { acquired, busy, idle, refused } = yield* pool.stats
      assert.deepStrictEqual({ acquired, busy, idle, handOver: refused.handOver }, {
        acquired: 2,
        busy: 0,
        idle: 1,
        handOver: 0
      })
    }))
})
