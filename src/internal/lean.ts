/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

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
 * `Effect.async` whose canceler is no effect, in half as many steps. Whoever is interrupted before it begins does not
 * begin it; nor is there anything to cancel then.
 *
 * @internal
 */
export const awaiting = <A, E>(
  register: (resume: (answer: Effect.Effect<A, E>) => void) => (() => void) | undefined
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => {
    let cancel: (() => void) | undefined
    const answer = Effect.async<A, E>((resume) => {
      cancel = register(resume)
    })
    return Effect.catchAllCause(restore(answer), (cause) => {
      if (Cause.isInterruptedOnly(cause)) cancel?.()
      return Effect.failCause(cause)
    })
  })
