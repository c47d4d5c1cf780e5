/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as RuntimeFlags from "effect/RuntimeFlags"
import { AsyncResource } from "node:async_hooks"
import { isReadable } from "./words.js"

/**
 * The async context of now (`AsyncLocalStorage`, and what tracers keep there). Without it, the code that follows an event
 * of a socket would run in the context of the caller that opened the socket, or that used it last. It costs a quarter of a
 * microsecond; `AsyncResource.bind` costs 45.
 *
 * @internal
 */
export const contextOfNow = (): AsyncResource => new AsyncResource("effect-pgpool")

/** Gives an effect back the interruptibility from before a mask. @internal */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * `Effect.failCause` which notes the span that its fiber is in, as `Effect.fail` does: the failure was made elsewhere, by
 * the pool or by the socket.
 *
 * @internal
 */
export const failHere = <E>(cause: Cause.Cause<E>): Effect.Effect<never, E> =>
  Cause.isFailType(cause) && isReadable(cause.error)
    ? Effect.fail(cause.error)
    : Effect.failCause(cause)

/**
 * The one way to wait for a callback if the wait can be cancelled. `register` gives what cancels it.
 *
 * `Effect.async` forgets its canceller where the fiber yields just after `register` has run: an interrupt that comes then
 * replaces the step that would have installed the canceller. Where this can be interrupted it stands in a mask, and its
 * canceller is known from the step in which `register` runs. An interrupt that comes before that step begins nothing, and
 * there is nothing to cancel.
 *
 * The fiber goes on in the async context in which it began to wait. What stays in memory meanwhile is half of what
 * `Effect.async` keeps: where thousands wait, that is copied again and again by the garbage collector.
 *
 * @internal
 */
export const awaiting = <A, E>(
  register: (
    resume: (answer: Effect.Effect<A, E>) => void,
    context: AsyncResource,
    fiber: Fiber.RuntimeFiber<unknown, unknown>
  ) => (() => void) | undefined
): Effect.Effect<A, E> =>
  Effect.withFiberRuntime<A, E>((fiber, { runtimeFlags }) => {
    let cancel: (() => void) | undefined
    const answer = Effect.async<A, E>((resume) => {
      const context = contextOfNow()
      const resumeHere = (answer: Effect.Effect<A, E>) =>
        context.runInAsyncScope(
          resume,
          undefined,
          Exit.isExit(answer) && Exit.isFailure(answer) ? failHere(answer.cause) : answer
        )
      cancel = register(resumeHere, context, fiber as Fiber.RuntimeFiber<unknown, unknown>)
    })
    if (!RuntimeFlags.interruptible(runtimeFlags)) return answer
    const onFailure = (cause: Cause.Cause<E>) => {
      if (Cause.isInterruptedOnly(cause)) cancel?.()
      return Effect.failCause(cause)
    }
    return Effect.uninterruptible(Effect.catchAllCause(Effect.interruptible(answer), onFailure))
  })

/**
 * A `Deferred` for which one fiber waits. Effect's is an object literal with a prototype spread into it: where many wait
 * for long, these are allocated among the garbage collector's old objects, and cost more than all the rest of the wait.
 *
 * @internal
 */
export class LeanDeferred<A, E> {
  private exit: Exit.Exit<A, E> | undefined = undefined
  private resume: ((exit: Exit.Exit<A, E>) => void) | undefined = undefined

  done(exit: Exit.Exit<A, E>): void {
    this.exit = exit
    this.resume?.(exit)
  }

  get await(): Effect.Effect<A, E> {
    return Effect.async((resume) => {
      if (this.exit !== undefined) resume(this.exit)
      else {
        const context = contextOfNow()
        this.resume = (exit) => context.runInAsyncScope(resume, undefined, exit)
      }
    })
  }
}
