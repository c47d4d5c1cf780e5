/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Health } from "../../PoolHealth.js"
import { awaiting } from "../effects.js"
import type { ElasticPoolState } from "../pool/pool.js"
import { within } from "../time/deadline.js"
import { SideDial } from "./sideDial.js"

/** An answer that is younger, in milliseconds, is trusted. */
const trustedFor = 5000

/** Whoever asks waits no longer, in milliseconds, whatever the server does. */
const answersWithin = 1000

/** So much of that is for a connection that the pool has: a new one may work where this one hangs. */
const checksWithin = 400

/**
 * Whether the pool can serve its callers. It never stands in the queue. It asks the server only if no answer is young
 * enough: by a check of an idle connection, and if that brings nothing, by a dial beside the pool.
 *
 * A dial that takes longer than the one who asks waits goes on, and the next one waits for its answer. So a server is
 * found to be well also if it is slow, or is the second of two hosts of which the first one is silent.
 *
 * @internal
 */
export class HealthCheck<A, E> {
  private readonly dial: SideDial
  /** Since when the server is not reached, in milliseconds since 1970, and when that was seen, by the policy clock. */
  private down: { readonly since: number; readonly seenAt: number } | undefined = undefined

  constructor(
    private readonly pool: ElasticPoolState<A, E>,
    /** Opens a connection, in a scope that closes it. It must end by itself. */
    dial: Effect.Effect<unknown, unknown, Scope.Scope>
  ) {
    this.dial = new SideDial(pool.env, dial)
  }

  readonly health: Effect.Effect<Health> = Effect.suspend(() => {
    const known = this.known()
    if (known !== undefined) return Effect.succeed(known)
    const onTimeout = () => Effect.sync(() => this.known() ?? this.unreachable(noAnswer()))
    return within(this.ask, { millis: answersWithin, clock: this.pool.env.io.clock, onTimeout }).pipe(
      Effect.onInterrupt(() => this.dial.left)
    )
  })

  /** What is known without a question to the server, for those who only look on. */
  get seen(): Health | undefined {
    const { outage } = this.pool
    return this.known() ?? (outage.active ? this.unreachable(outage.reason) : this.knownFailure())
  }

  /** The pool closes. */
  get stop(): Effect.Effect<void> {
    return this.dial.stop
  }

  private readonly ask: Effect.Effect<Health> = Effect.suspend(() =>
    within(this.check, { millis: checksWithin, clock: this.pool.env.io.clock, onTimeout: () => Effect.void }).pipe(
      Effect.map(() => this.known() ?? this.knownFailure()),
      Effect.flatMap((health) => health !== undefined ? Effect.succeed(health) : this.askAnew)
    )
  )

  /** Waits for the end of a check, if one can be made. */
  private readonly check: Effect.Effect<void> = awaiting((resume) => {
    const end = () => resume(Effect.void)
    const leave = this.pool.proof.ask(end)
    if (leave === undefined) end()
    return leave
  })

  private readonly askAnew: Effect.Effect<Health> = Effect.suspend(() =>
    Effect.map(this.dial.answer, () => this.known() ?? this.knownFailure() ?? this.unreachable(noAnswer()))
  )

  /** What can be said without a question to the server. */
  private known(): Health | undefined {
    const { lifecycle: { state }, proof } = this.pool
    if (state === "suspended") return { _tag: "Suspended" }
    if (state !== "open") return { _tag: "Draining" }
    return proof.isYoungerThan(trustedFor) || this.hasDialled ? this.reached() : undefined
  }

  /** Whether a dial beside the pool has succeeded a moment ago, and none of the pool's own has failed since. */
  private get hasDialled(): boolean {
    const { last } = this.dial
    return last !== undefined && Exit.isSuccess(last.exit) && this.isYoung(last.at) &&
      last.at >= this.pool.outage.failedAt
  }

  private reached(): Health {
    this.down = undefined
    const { demand, env, waiters: { first } } = this.pool
    return first === undefined || !demand.isExceeded
      ? { _tag: "Up" }
      : { _tag: "Full", oldestWait: env.now() - first.since }
  }

  /** Why a connect has failed a moment ago: another one must not follow for each one that asks. */
  private knownFailure(): Health | undefined {
    const { dial: { last }, pool: { outage } } = this
    if (outage.active && this.isYoung(outage.failedAt)) return this.unreachable(outage.reason)
    if (last !== undefined && Exit.isFailure(last.exit) && this.isYoung(last.at)) {
      return this.unreachable(Cause.squash(last.exit.cause))
    }
  }

  private isYoung(at: number): boolean {
    return this.pool.env.now() - at < trustedFor
  }

  private unreachable(cause: unknown): Health {
    const { connections, env, outage } = this.pool
    // It may have been well for a while since then, and nobody has asked.
    if (this.down === undefined || connections.provenAt > this.down.seenAt) {
      const lasted = outage.active ? env.io.now() - outage.since : 0
      this.down = { since: env.date() - lasted, seenAt: env.now() }
    }
    return { _tag: "Unreachable", since: this.down.since, cause }
  }
}

const noAnswer = () => new Cause.TimeoutException("the server has not answered within a second")
