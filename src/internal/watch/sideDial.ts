/** @internal */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { awaiting } from "../effects.js"
import type { Environment } from "../pool/settings.js"
import { leaveAfter } from "../time/deadline.js"

/**
 * Dials beside the pool, only to see whether that works. There is never more than one such dial: all who ask meanwhile
 * share it.
 *
 * @internal
 */
export class SideDial {
  /** When the last dial had its answer, by the policy clock, and what that was. */
  last: { readonly at: number; readonly exit: Exit.Exit<unknown, unknown> } | undefined = undefined
  private isUnderWay = false
  private fiber: Fiber.RuntimeFiber<void> | undefined = undefined
  private readonly waiting = new Set<() => void>()

  constructor(
    private readonly env: Environment,
    /** Opens a connection, in a scope that closes it. It must end by itself. */
    private readonly dial: Effect.Effect<unknown, unknown, Scope.Scope>
  ) {}

  /** Waits for the answer of the dial that is under way, or of a new one. */
  readonly answer: Effect.Effect<void> = awaiting((resume) => {
    const tell = () => resume(Effect.void)
    this.waiting.add(tell)
    if (!this.isUnderWay) this.begin()
    return () => this.waiting.delete(tell)
  })

  private begin(): void {
    this.isUnderWay = true
    const dial = Effect.flatMap(Effect.exit(this.dial), (exit) =>
      Effect.sync(() => {
        this.last = { at: this.env.now(), exit }
        this.tell()
      }))
    const fiber = this.env.fork(Effect.ensuring(Effect.scoped(dial), Effect.sync(() => this.end())))
    // It may have ended on the spot.
    if (this.isUnderWay) this.fiber = fiber
  }

  private end(): void {
    this.isUnderWay = false
    this.fiber = undefined
    this.tell()
  }

  private tell(): void {
    for (const tell of this.waiting) tell()
    this.waiting.clear()
  }

  /** One that has asked is gone: breaks the dial off if nobody else waits for it. */
  readonly left = Effect.sync(() => {
    if (this.waiting.size === 0) this.fiber?.unsafeInterruptAsFork(FiberId.none)
  })

  /** The pool closes. A dial that can't be broken off is left behind, as a connect of the pool is. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    const { env: { io, reach }, fiber } = this
    return fiber === undefined
      ? Effect.void
      : Effect.asVoid(leaveAfter(Fiber.interrupt(fiber), reach.cleanupTimeout, io.clock))
  })
}
