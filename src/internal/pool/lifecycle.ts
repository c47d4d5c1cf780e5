/** @internal */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type { PoolStats } from "../../PoolStats.js"
import { Alarm } from "./alarm.js"
import { leaveAfter } from "./deadlines.js"
import type { Environment, Settings } from "./settings.js"

/** What the life cycle asks of the pool. */
interface Pool {
  /** Whether there is no connection left, in whatever state. */
  readonly isEmpty: () => boolean
  readonly hasWaiters: () => boolean
  /** All connections are to go, as soon as their borrowers have done with them. */
  readonly suspend: () => void
  /** Serves again those who wait: for them time has stood still. */
  readonly resume: (suspendedAt: number, now: number) => void
  /** Connections that nobody waits for are to go. */
  readonly drain: () => void
  /** Nothing is left that time could do. */
  readonly stop: () => void
  /** Refuses all who wait, and closes what nobody uses. */
  readonly close: () => void
  /** Closes connections under their borrowers. */
  readonly closeBusy: () => void
}

/**
 * Whether the pool serves, and how it comes to an end: open and suspended take turns, then it is drained or closed, for
 * good. Each phase but the first has an end that one can wait for: no connection is left.
 *
 * @internal
 */
export class Lifecycle {
  state: PoolStats["state"] = "open"
  /** Done with `true` when no connection is left in this phase, with `false` when another phase began before that. */
  private emptied = Deferred.unsafeMake<boolean>(FiberId.none)
  private suspendedAt = 0
  private readonly alarm: Alarm

  constructor(
    private readonly settings: Settings,
    private readonly env: Environment,
    private readonly pool: Pool
  ) {
    this.alarm = new Alarm(env, () => (this.resume(), Infinity))
  }

  /** Whether callers may join the queue. */
  get admits(): boolean {
    return this.state === "open" || this.state === "suspended"
  }

  /** Whether those in the queue get connections. */
  get serves(): boolean {
    return this.state === "open" || this.state === "draining"
  }

  /** A permit came back, or a waiter has left. */
  look(): void {
    if (this.state === "open" || !this.pool.isEmpty()) return
    if (this.state === "draining") {
      if (this.pool.hasWaiters()) return
      this.pool.stop()
    }
    Deferred.unsafeDone(this.emptied, Exit.succeed(true))
  }

  private enter(state: PoolStats["state"]): void {
    Deferred.unsafeDone(this.emptied, Exit.succeed(false))
    this.emptied = Deferred.unsafeMake(FiberId.none)
    this.state = state
    this.alarm.stop()
  }

  readonly suspend: Effect.Effect<boolean> = Effect.suspend(() => {
    if (this.state === "open") {
      this.enter("suspended")
      this.suspendedAt = this.env.now()
      this.alarm.arm(this.suspendedAt + this.settings.suspendTimeout)
      this.pool.suspend()
      this.look()
    }
    return this.state === "suspended" ? Deferred.await(this.emptied) : Effect.succeed(false)
  })

  resume(): void {
    if (this.state !== "suspended") return
    this.enter("open")
    this.pool.resume(this.suspendedAt, this.env.now())
  }

  readonly drain: Effect.Effect<void> = Effect.suspend(() => {
    this.resume()
    if (this.admits) {
      this.enter("draining")
      this.pool.drain()
      this.look()
    }
    return this.untilEmpty
  })

  /** A pool that is drained may be closed before that has come to its end. */
  private readonly untilEmpty: Effect.Effect<void> = Effect.suspend(() =>
    Effect.flatMap(Deferred.await(this.emptied), (isEmpty) => isEmpty ? Effect.void : this.untilEmpty)
  )

  /** R13. Ends when nothing is left but what can't be ended. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.enter("closing")
    this.pool.stop()
    this.pool.close()
    this.look()
    if (this.pool.isEmpty()) return Effect.void
    return Effect.flatMap(leaveAfter(this.untilEmpty, this.settings.closeTimeout, this.env.io.clock), (returned) => {
      if (Option.isSome(returned)) return Effect.void
      this.pool.closeBusy()
      return this.untilEmpty
    })
  })
}
