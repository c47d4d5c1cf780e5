/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
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

/** Has a fiber resumed in the async context in which it began to wait. @internal */
export const resumeHere = <A>(resume: (answer: A) => void, context = contextOfNow()): (answer: A) => void => (answer) =>
  context.runInAsyncScope(resume, undefined, answer)

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
 * replaces the step that would have installed the canceller. This one stands in a mask, and its canceller is known from the
 * step in which `register` runs. An interrupt that comes before that step begins nothing, and there is nothing to cancel.
 *
 * The fiber goes on in the async context in which it began to wait. It takes half as many steps as `Effect.async` does.
 *
 * @internal
 */
export const awaiting = <A, E>(
  register: (resume: (answer: Effect.Effect<A, E>) => void, context: AsyncResource) => (() => void) | undefined
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => {
    let cancel: (() => void) | undefined
    const answer = Effect.async<A, E>((resume) => {
      const context = contextOfNow()
      cancel = register(resumeHere(resume, context), context)
    })
    return Effect.catchAllCause(restore(answer), (cause) => {
      if (Cause.isInterruptedOnly(cause)) cancel?.()
      return failHere(cause)
    })
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
      else this.resume = resumeHere(resume)
    })
  }
}
