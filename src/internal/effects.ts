/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { AsyncResource } from "node:async_hooks"
import { isReadable } from "./words.js"

/**
 * The async context of now (`AsyncLocalStorage`, and what tracers keep there): what comes of an event of a socket would
 * else go on in that of whoever opened the socket, or of the last one that used it. It costs a quarter of a microsecond;
 * `AsyncResource.bind` costs 45.
 *
 * @internal
 */
export const contextOfNow = (): AsyncResource => new AsyncResource("effect-pgpool")

/** Has a fiber resumed in the async context in which it began to wait. @internal */
export const resumeHere = <A>(resume: (answer: A) => void, context = contextOfNow()): (answer: A) => void => (answer) =>
  context.runInAsyncScope(resume, undefined, answer)

/**
 * What `Effect.ensuring` does, for what can't be interrupted but in a part that is restored, and a finaliser that is no
 * effect: without a mask of its own, and the steps that go with it.
 *
 * @internal
 */
export const finallyDo = <A, E, R>(self: Effect.Effect<A, E, R>, finalizer: () => void): Effect.Effect<A, E, R> =>
  Effect.matchCauseEffect(self, {
    onFailure: (cause) => {
      finalizer()
      return Effect.failCause(cause)
    },
    onSuccess: (a) => {
      finalizer()
      return Effect.succeed(a)
    }
  })

/**
 * `Effect.failCause` which notes the span that its fiber is in, as `Effect.fail` does: the pool and the socket tell of a
 * failure from elsewhere.
 *
 * @internal
 */
export const failHere = <E>(cause: Cause.Cause<E>): Effect.Effect<never, E> =>
  Cause.isFailType(cause) && isReadable(cause.error)
    ? Effect.fail(cause.error)
    : Effect.failCause(cause)

/**
 * `Effect.async` whose canceler is no effect, in half as many steps. Whoever is interrupted before it begins does not
 * begin it; nor is there anything to cancel then.
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
 * A `Deferred` of which one fiber waits. Effect's is an object literal with a prototype spread into it: many that wait
 * for long are made among the garbage collector's old objects, and cost more than all the rest of the wait.
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
