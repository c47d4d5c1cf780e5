/**
 * A scripted resource for the tests of the generic pool. What its connect, check, reset and finaliser do is an effect
 * that the test gives, for all resources or by the number of the connect:
 *
 *     const fake = new FakeResource({ connect: (id) => id === 1 ? hang : ok })
 *     const pool = yield* ElasticPool.make({ ...fake.options, maxsize: 2 })
 *
 * It records what happened. A resource has the number of its connect as `id`, counted from 1.
 */
import { Data, Effect, Exit, Fiber, Scope } from "effect"
import type { ElasticPool, PoolError } from "effect-pgpool"

type Kind = "other" | "permanent" | "transient"

export class FakeFailure extends Data.TaggedError("FakeFailure")<{
  readonly id: number
  readonly kind: Kind
}> {}

export interface Fake {
  readonly id: number
}

type Step = Effect.Effect<unknown, Kind>

/** What to do each time, or what to do for the resource with this number. */
export type Script = Step | ((id: number) => Step)

export const ok: Step = Effect.void
export const fail: Step = Effect.fail("other")
export const failPermanently: Step = Effect.fail("permanent")
export const failTransiently: Step = Effect.fail("transient")
export const slow = Effect.sleep
export const hang: Step = Effect.never
/** Hangs, and can't be interrupted. */
export const stuck: Step = Effect.uninterruptible(Effect.never)

export class FakeResource {
  /** The scripts can be changed while a test runs. */
  connect: Script
  check: Script
  reset: Script
  close: Script

  /** Connects that were begun. */
  dials = 0
  /** The numbers of the resources that were opened, checked, reset and closed, in order. */
  readonly opened: Array<number> = []
  readonly checked: Array<number> = []
  readonly wasReset: Array<number> = []
  readonly closed: Array<number> = []
  /** Resources there are, from the beginning of the connect to the end of the finaliser: now, and at most. */
  live = 0
  highest = 0

  constructor(script: { connect?: Script; check?: Script; reset?: Script; close?: Script } = {}) {
    this.connect = script.connect ?? ok
    this.check = script.check ?? ok
    this.reset = script.reset ?? ok
    this.close = script.close ?? ok
  }

  /** The numbers of the resources that are open. */
  get open(): Array<number> {
    return this.opened.filter((id) => !this.closed.includes(id))
  }

  readonly acquire: Effect.Effect<Fake, FakeFailure, Scope.Scope> = Effect.gen(this, function*() {
    const id = yield* Effect.acquireRelease(Effect.sync(() => this.begin()), (id) => this.end(id))
    yield* play(this.connect, id)
    this.opened.push(id)
    return { id }
  })

  /** A resource that is never checked, nor reset. */
  get options() {
    return {
      acquire: this.acquire,
      isTransient: ({ kind }: FakeFailure) => kind === "transient",
      isPermanent: ({ kind }: FakeFailure) => kind === "permanent"
    }
  }

  get withCheck() {
    return {
      ...this.options,
      check: ({ id }: Fake) => Effect.suspend(() => (this.checked.push(id), play(this.check, id)))
    }
  }

  get withReset() {
    return {
      ...this.options,
      reset: ({ id }: Fake) => Effect.suspend(() => (this.wasReset.push(id), play(this.reset, id)))
    }
  }

  private begin(): number {
    this.live++
    this.highest = Math.max(this.highest, this.live)
    return ++this.dials
  }

  private end(id: number): Effect.Effect<void> {
    const wasOpened = this.opened.includes(id)
    return (wasOpened ? Effect.exit(play(this.close, id)) : Effect.void).pipe(
      Effect.zipRight(Effect.sync(() => {
        this.live--
        if (wasOpened) this.closed.push(id)
      }))
    )
  }
}

const play = (script: Script, id: number): Effect.Effect<unknown, FakeFailure> =>
  Effect.mapError(
    typeof script === "function" && !Effect.isEffect(script) ? script(id) : script as Step,
    (kind) => new FakeFailure({ id, kind })
  )

/** Lets everything happen that needs no time to pass. */
export const settle: Effect.Effect<void> = Effect.async<void>((resume) => {
  setTimeout(() => setTimeout(() => resume(Effect.void)))
})

/**
 * A caller: it asks for a resource in a fiber of its own and holds it until it is told to let go. Everything that can
 * happen without time has happened when these effects end.
 */
export class Caller<A, E> {
  private constructor(
    readonly fiber: Fiber.RuntimeFiber<A, E | PoolError.PoolError>,
    private readonly scope: Scope.CloseableScope
  ) {}

  static ask<A, E>(pool: ElasticPool.ElasticPool<A, E>): Effect.Effect<Caller<A, E>> {
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const fiber = yield* Effect.forkDaemon(Scope.extend(pool.get, scope))
      yield* settle
      return new Caller(fiber, scope)
    })
  }

  static askTimes<A, E>(pool: ElasticPool.ElasticPool<A, E>, n: number): Effect.Effect<Array<Caller<A, E>>> {
    return Effect.all(Array.from({ length: n }, () => Caller.ask(pool)))
  }

  get exit(): Exit.Exit<A, E | PoolError.PoolError> | undefined {
    return this.fiber.unsafePoll() ?? undefined
  }

  get isWaiting(): boolean {
    return this.exit === undefined
  }

  /** What it holds, or held. */
  get value(): A | undefined {
    return this.exit !== undefined && Exit.isSuccess(this.exit) ? this.exit.value : undefined
  }

  /** What it failed with. */
  get failure(): E | PoolError.PoolError | undefined {
    return this.exit !== undefined && Exit.isFailure(this.exit) && this.exit.cause._tag === "Fail"
      ? this.exit.cause.error
      : undefined
  }

  /** Gives back what it holds. */
  get release(): Effect.Effect<void> {
    return Effect.zipRight(this.letGo, settle)
  }

  /** The same in one step: nothing else has happened when it ends. */
  get letGo(): Effect.Effect<void> {
    return Scope.close(this.scope, Exit.void)
  }

  /** Stops waiting. */
  get interrupt(): Effect.Effect<void> {
    return Fiber.interrupt(this.fiber).pipe(
      Effect.zipRight(Scope.close(this.scope, Exit.void)),
      Effect.zipRight(settle)
    )
  }
}
