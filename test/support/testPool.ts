/**
 * Pools for tests under `TestClock`: they close by themselves at the end of a test, whatever hangs in them, and no
 * chance shortens the life of a connection.
 */
import { Clock, Effect, Exit, Fiber, Logger, Scope, Supervisor, TestClock } from "effect"
import type { Context, Option } from "effect"
import { ElasticPool } from "effect-pgpool"
import { Caller } from "./fakeResource.js"

export const makePool = <A, E>(
  options: ElasticPool.ResourceOptions<A, E, never>,
  clock?: Clock.Clock
): Effect.Effect<ElasticPool.ElasticPool<A, E>, never, Scope.Scope> =>
  Effect.map(makeClosable(options, clock), ({ pool }) => pool)

/** `close` ends when the pool is closed. */
export const makeClosable = <A, E>(options: ElasticPool.ResourceOptions<A, E, never>, clock?: Clock.Clock) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const make = ElasticPool.make({ expiresJitter: 0, ...options })
    const pool = yield* Scope.extend(clock === undefined ? make : Effect.withClock(make, clock), scope)
    const close = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        const closing = yield* Effect.fork(close)
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(closing)
      })
    )
    return { pool, close }
  })

/** Opens `n` connections and leaves them idle; the last one opened was used last. */
export const fill = <A, E>(pool: ElasticPool.ElasticPool<A, E>, n: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const caller of yield* Caller.askTimes(pool, n)) yield* caller.release
  })

/** A clock over the one in force, which counts who sleeps, and which can be put forward without waking anybody. */
export class WatchedClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** Sleeps that were begun, and that are going on. */
  sleeps = 0
  asleep = 0
  ahead = 0

  static readonly make = Effect.map(Effect.clock, (clock) => new WatchedClock(clock))

  constructor(private readonly clock: Clock.Clock) {}

  unsafeCurrentTimeMillis(): number {
    return this.clock.unsafeCurrentTimeMillis() + this.ahead
  }

  unsafeCurrentTimeNanos(): bigint {
    return this.clock.unsafeCurrentTimeNanos() + BigInt(this.ahead) * 1_000_000n
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(...args: Parameters<Clock.Clock["sleep"]>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.sleeps++
      this.asleep++
      return Effect.ensuring(this.clock.sleep(...args), Effect.sync(() => this.asleep--))
    })
  }
}

/** Counts the fibers of an effect: put it round with `Effect.supervised`. */
export class FiberCount extends Supervisor.AbstractSupervisor<void> {
  started = 0
  readonly alive = new Set<Fiber.RuntimeFiber<unknown, unknown>>()

  override get value(): Effect.Effect<void> {
    return Effect.void
  }

  override onStart<A, E, R>(
    _context: Context.Context<R>,
    _effect: Effect.Effect<A, E, R>,
    _parent: Option.Option<Fiber.RuntimeFiber<unknown, unknown>>,
    fiber: Fiber.RuntimeFiber<A, E>
  ): void {
    this.started++
    this.alive.add(fiber)
  }

  override onEnd<A, E>(_exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    this.alive.delete(fiber)
  }
}

/** Runs an effect whose logs go to the list that it is given. */
export const withLogs = <A, E, R>(f: (logs: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const logs: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      logs.push(`${logLevel.label} ${Array.isArray(message) ? message.join(" ") : String(message)}`)
    })
    return Effect.provide(f(logs), Logger.replace(Logger.defaultLogger, logger))
  })

/** Which resources the callers got. */
export const ids = (callers: ReadonlyArray<Caller<{ id: number }, unknown>>): ReadonlyArray<number | undefined> =>
  callers.map(({ value }) => value?.id)
