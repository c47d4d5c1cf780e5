/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import type { PoolError } from "../PoolError.js"
import type { Restore } from "./effects.js"
import { failHere, LeanDeferred } from "./effects.js"
import { Attempts, Loan } from "./pool/loan.js"
import type { ElasticPoolState } from "./pool/pool.js"
import type { Borrower } from "./pool/runtime.js"
import { WaitSpan } from "./waitSpan.js"

/** The fiber at work. */
const currentBorrower = (): Borrower | undefined => Option.getOrUndefined(Fiber.getCurrentFiber())

/**
 * Lends a connection, at once where one is ready (R2), else by a place in the queue. Must run uninterruptibly: only the
 * wait is restored, and what was handed over is given back if the wait was interrupted all the same (R12).
 */
const take = <A, E>(
  state: ElasticPoolState<A, E>,
  restore: Restore,
  attempts: Attempts | undefined,
  parent: Tracer.AnySpan | undefined,
  borrower = currentBorrower()
): Loan<A> | Effect.Effect<Loan<A>, E | PoolError> => {
  const taken = state.take(borrower, attempts)
  if (taken instanceof Loan) return taken
  return taken === undefined ? wait(state, restore, borrower, parent) : Effect.failCause(taken)
}

const wait = <A, E>(
  state: ElasticPoolState<A, E>,
  restore: Restore,
  borrower: Borrower | undefined,
  parent: Tracer.AnySpan | undefined
): Effect.Effect<Loan<A>, E | PoolError> => {
  const outcome = new LeanDeferred<Loan<A>, E | PoolError>()
  let span: WaitSpan | undefined = undefined
  const waiter = state.wait((exit) => {
    span?.end(exit)
    outcome.done(exit)
  }, borrower)
  span = WaitSpan.begin(state, waiter, parent)
  // What `Effect.onError` does, without a mask of its own: ten thousand may wait here.
  return Effect.catchAllCause(restore(outcome.await), (cause) => {
    state.leave(waiter)
    span?.end(Exit.failCause(cause))
    return failHere(cause)
  })
}

/** The resource was lost between its hand-over and the step in which its borrower gets it. */
const lost = Cause.die("lost before its use")
const lostExit = Exit.failCause(lost)

/**
 * Lends a resource until the scope ends. The borrower gets what `as` makes of it.
 *
 * @internal
 */
export const get = <A, E, B>(
  state: ElasticPoolState<A, E>,
  as: (a: A, loan: Loan<A>) => B,
  before?: Attempts,
  span?: Tracer.AnySpan
): Effect.Effect<B, E | PoolError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) => {
    // The effect may be run again and again: each run has attempts of its own.
    let attempts = before
    const attempt = (): Effect.Effect<B, E | PoolError, Scope.Scope> => {
      const taken = take(state, restore, attempts, span)
      return taken instanceof Loan ? keep(taken) : Effect.flatMap(taken, keep)
    }
    const keep = (loan: Loan<A>): Effect.Effect<B, E | PoolError, Scope.Scope> => {
      const borrowed = as(loan.value, loan)
      return Effect.flatMap(Effect.addFinalizer(() => Effect.sync(() => loan.end())), () => {
        if (loan.begin(attempts)) return Effect.succeed(borrowed)
        // The scope is closed, and has ended the loan. What is forked in a closed scope is interrupted as well.
        if (loan.isOver) return Effect.interrupt
        attempts ??= new Attempts()
        return attempts.next(loan) ? attempt() : Effect.fail(state.refusals.lostTooOften(loan))
      })
    }
    return attempt()
  })

interface Terms<E, E3> {
  /** The span of the caller, where it is in no context. */
  readonly span?: Tracer.AnySpan | undefined
  /** What a caller gets that got no resource: only that, and never an error of `f`. */
  readonly asError?: ((error: E | PoolError) => E3) | undefined
  /** Whether `f` has failed before it has done anything with the resource: then it gets another one. */
  readonly isUnused?: ((cause: Cause.Cause<unknown>) => boolean) | undefined
  /** Whether `f` runs uninterruptibly, and restores interrupts itself. */
  readonly isMasked?: boolean
}

/** How `f` gets another resource without beginning anew. @internal */
export interface Borrowing<A, E> {
  /** For an `f` that runs uninterruptibly. */
  readonly restore: Restore
  /**
   * Takes another one in place of one that was lost before anything was done with it, and tells it to `moved`. The
   * borrower stays the same, whichever fiber asks, one at a time. What comes once `f` has ended is given back.
   */
  exchange(moved: (a: A, loan: Loan<A>) => void): Effect.Effect<void, E>
}

/**
 * Lends a resource to `f`, which may end the loan before it ends itself, once it has done with the resource.
 *
 * @internal
 */
export const use = <A, E, B, E2, R, E3 = E | PoolError>(
  state: ElasticPoolState<A, E>,
  f: (a: A, loan: Loan<A>, borrowing: Borrowing<A, E3>) => Effect.Effect<B, E2, R>,
  terms: Terms<E, E3> = {}
): Effect.Effect<B, E2 | E3, R> => Effect.uninterruptibleMask((restore) => new Use(state, f, terms, restore).attempt())

/** One run of `use`. */
class Use<A, E, B, E2, R, E3> implements Borrowing<A, E3> {
  private attempts: Attempts | undefined = undefined
  /** `undefined` where `f` has none. */
  private loan: Loan<A> | undefined = undefined

  constructor(
    private readonly state: ElasticPoolState<A, E>,
    private readonly f: (a: A, loan: Loan<A>, borrowing: Borrowing<A, E3>) => Effect.Effect<B, E2, R>,
    private readonly terms: Terms<E, E3>,
    readonly restore: Restore
  ) {}

  attempt(): Effect.Effect<B, E2 | E3, R> {
    const taken = take(this.state, this.restore, this.attempts, this.terms.span)
    return taken instanceof Loan ? this.lend(taken) : Effect.flatMap(this.told(taken), (loan) => this.lend(loan))
  }

  /** What the caller is told that gets no resource. */
  private told<T>(taken: Effect.Effect<T, E | PoolError>): Effect.Effect<T, E3> {
    const { asError } = this.terms
    return (asError === undefined ? taken : Effect.mapError(taken, asError)) as Effect.Effect<T, E3>
  }

  private lend(loan: Loan<A>): Effect.Effect<B, E2 | E3, R> {
    this.loan = loan
    const used = Effect.suspend(() => loan.begin(this.attempts) ? this.f(loan.value, loan, this) : lostExit)
    return Effect.matchCauseEffect(this.terms.isMasked === true ? used : this.restore(used), {
      onFailure: (cause) => this.failed(cause),
      onSuccess: (b) => {
        this.end().end()
        return Exit.succeed(b)
      }
    })
  }

  /** What is exchanged from now on is given back at once. */
  private end(): Loan<A> {
    const loan = this.loan!
    this.loan = undefined
    return loan
  }

  private failed(cause: Cause.Cause<E2>): Effect.Effect<B, E2 | E3, R> {
    const loan = this.end()
    const isLost = cause === lost || this.terms.isUnused?.(cause) === true
    const triesAgain = isLost && (this.attempts ??= new Attempts()).next(loan)
    loan.end()
    if (triesAgain) return this.attempt()
    return cause === lost ? this.told(this.lostTooOften(loan)) : Effect.failCause(cause)
  }

  private lostTooOften(loan: Loan<A>): Effect.Effect<never, PoolError> {
    return Effect.fail(this.state.refusals.lostTooOften(loan))
  }

  exchange(moved: (a: A, loan: Loan<A>) => void): Effect.Effect<void, E3> {
    return Effect.uninterruptibleMask((restore) => {
      const attempt = (): Effect.Effect<void, E3> => {
        const { loan } = this
        if (loan === undefined) return Effect.void
        loan.onEnd = undefined
        if (!(this.attempts ??= new Attempts()).next(loan)) return this.told(this.lostTooOften(loan))
        const keep = (next: Loan<A>): Effect.Effect<void, E3> => {
          // It has ended meanwhile, or has another one from another fiber.
          if (this.loan !== loan) {
            next.end()
            return Effect.void
          }
          this.loan = next
          if (!next.begin(this.attempts)) return attempt()
          moved(next.value, next)
          return Effect.void
        }
        const taken = take(this.state, restore, this.attempts, this.terms.span, loan.borrower)
        return taken instanceof Loan ? keep(taken) : Effect.flatMap(this.told(taken), keep)
      }
      return attempt()
    })
  }
}
