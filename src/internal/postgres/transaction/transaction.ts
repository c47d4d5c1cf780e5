/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"
import type { TransactionOptions } from "../../../PgPool.js"
import { orDie } from "../../decode.js"
import type { Restore } from "../../effects.js"
import { failHere } from "../../effects.js"
import type { Reach } from "../../pool/reach.js"
import type { Log } from "../../pool/runtime.js"
import { isTraced } from "../../spans.js"
import { isNotSent } from "../errors/errors.js"
import type { Holder } from "../lease/turn.js"
import { ControlStatement } from "./control.js"
import type { Kind } from "./kinds.js"
import * as Kinds from "./kinds.js"
import type { TransactionLevel } from "./level.js"
import { decodeOptions, refusedNested } from "./options.js"
import { isWorthAnother } from "./outcome.js"
import { unbatched } from "./unbatched.js"
import { leaveCommit, undo } from "./undo.js"

/** What transactions need of the client that they belong to. @internal */
export interface Transactions {
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  /**
   * Lends a level of its own to an effect, which runs uninterruptibly and is given what restores interrupts. It gets another
   * level where that `isUnused` when the effect has failed. The wait for it is below `span`.
   */
  readonly withLevel: <A, E, R>(
    f: (level: TransactionLevel, restore: Restore) => Effect.Effect<A, E, R>,
    isUnused?: (cause: Cause.Cause<unknown>) => boolean,
    span?: Tracer.Span
  ) => Effect.Effect<A, E | SqlError, R>
  /** The level in force, and a context with another one. */
  readonly current: (context: Context.Context<never>) => TransactionLevel | undefined
  readonly enter: <R>(level: TransactionLevel, context: Context.Context<R>) => Context.Context<R>
  readonly reach: Reach
  readonly log: Log
}

type Mark = (event: "commit" | "rollback" | "savepoint") => void

/**
 * Runs all statements of an effect on one connection. Inside another such effect, or a transaction, they already do.
 *
 * @internal
 */
export const makeWithConnection =
  (self: Transactions) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.withFiberRuntime<A, E | SqlError, R>((fiber) =>
      self.current(fiber.currentContext) === undefined
        ? self.withLevel((level, restore) => restore(run(self, level, effect)))
        : effect
    )

const run = <A, E, R>(
  self: Transactions,
  level: TransactionLevel,
  effect: Effect.Effect<A, E, R>,
  span?: Tracer.Span
): Effect.Effect<A, E, R> =>
  Effect.mapInputContext(effect, (context: Context.Context<R>) => {
    const entered = self.enter(level, context)
    return span === undefined ? entered : Context.add(entered, Tracer.ParentSpan, span)
  })

/**
 * `withTransaction` of one client, with the spans and events of `@effect/sql`. Waiting for a connection can be
 * interrupted, every failure is typed, and the exit is the body's own where the body failed (R22).
 *
 * @internal
 */
export const makeTransaction = (self: Transactions) => (options: TransactionOptions) => {
  const kind = Exit.succeed(Kinds.transaction(options))
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    withSpan((span, mark, fiber) => {
      for (const [key, value] of self.spanAttributes) span.attribute(key, value)
      let hasStarted = false
      const body = (level: TransactionLevel) => {
        hasStarted = true
        return run(self, level, unbatched(effect), span)
      }
      const outer = self.current(fiber.currentContext)
      if (outer?.isTransaction === true) {
        const nested = () => Exit.succeed(Kinds.savepoint(outer))
        const begin = Effect.uninterruptibleMask((restore) =>
          inTurn(self, outer, "nested transaction", nested, mark, body, restore)
        )
        return outer.hasBegun ? begin : Effect.zipRight(outer.begun, begin)
      }
      // Where the user has begun a transaction by hand, this one is nested in it.
      const kindOn = (connection: TransactionLevel) => () => {
        if (!connection.session.isInTransaction) return kind
        const refusal = refusedNested(options)
        return refusal === undefined ? Exit.succeed(Kinds.savepoint(connection)) : Exit.fail(refusal)
      }
      const top = (connection: TransactionLevel, restore: Restore) =>
        inTurn(self, connection, "transaction", kindOn(connection), mark, body, restore)
      if (outer !== undefined) return Effect.uninterruptibleMask((restore) => top(outer, restore))
      // The session may end between its hand-over and a BEGIN before the body: another one is taken.
      const isUnused = (cause: Cause.Cause<unknown>) => !hasStarted && Cause.isFailType(cause) && isNotSent(cause.error)
      return self.withLevel(top, isUnused, span)
    })
}

/**
 * Runs an effect in a span of its own. Where nobody traces, that span does not end: its end costs more than most of what a
 * transaction does here.
 */
const withSpan = <A, E, R>(
  f: (span: Tracer.Span, mark: Mark, fiber: Fiber.RuntimeFiber<A, E>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime<A, E, R>((fiber) => {
    if (!isTraced(fiber)) {
      return Effect.flatMap(Effect.makeSpan(spanName, spanOptions), (span) => f(span, noMark, fiber))
    }
    const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
    return Effect.useSpan(spanName, spanOptions, (span) => {
      const mark: Mark = (event) => span.event(`db.transaction.${event}`, clock.unsafeCurrentTimeNanos())
      return f(span, mark, fiber)
    })
  })

const noMark: Mark = () => {}

const spanName = "sql.transaction"
const spanOptions: Tracer.SpanOptions = { kind: "client", captureStackTrace: false }

/**
 * Runs a transaction when it is its turn and nothing is in flight. Its kind depends on whether the connection is in a
 * transaction at that moment. Must run uninterruptibly.
 */
const inTurn = <A, E, R>(
  self: Transactions,
  outer: TransactionLevel,
  holder: Holder,
  kindNow: () => Exit.Exit<Kind, SqlError>,
  mark: Mark,
  body: (level: TransactionLevel) => Effect.Effect<A, E, R>,
  restore: Restore
): Effect.Effect<A, E | SqlError, R> => {
  const begin = (kind: Kind) => transact(self, outer, kind, mark, body, restore)
  const inItsTurn = () => {
    const { isSettled, settledInTime } = outer.session
    const kind = isSettled ? kindNow() : Effect.flatMap(restore(settledInTime), kindNow)
    return isDone(kind) ? begin(kind.value) : Effect.matchCauseEffect(kind, {
      onFailure: (cause) => (outer.release(), Effect.failCause(cause)),
      onSuccess: begin
    })
  }
  const turn = outer.take(holder, restore)
  return isDone(turn) ? inItsTurn() : Effect.flatMap(turn, inItsTurn)
}

const isDone = <A, E>(effect: Effect.Effect<A, E>): effect is Exit.Success<A, E> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

/**
 * Runs the body between BEGIN and COMMIT or ROLLBACK. Each of these that was sent ends by itself. A ROLLBACK has a fiber of
 * its own, for which an interrupted caller does not wait (R22). Must run uninterruptibly, in the transaction's turn.
 *
 * It is no generator: one that waits for the server several times is allocated among the garbage collector's old objects,
 * and then takes longer than all the rest of this.
 */
const transact = <A, E, R>(
  self: Transactions,
  outer: TransactionLevel,
  kind: Kind,
  mark: Mark,
  body: (level: TransactionLevel) => Effect.Effect<A, E, R>,
  restore: Restore
): Effect.Effect<A, E | SqlError, R> => {
  const inner = outer.below(kind.beginsWithBody ? kind.begin : undefined)
  const begin = new ControlStatement(outer)
  const commit = new ControlStatement(outer, inner)
  const undone = () => undo(self, outer, kind)
  const released = () => Effect.sync(() => outer.release())
  const failAfter = <E1>(first: Effect.Effect<unknown>, cause: Cause.Cause<E1>) =>
    Effect.zipRight(first, failHere(kind.told(inner, cause)))

  const notBegun = (cause: Cause.Cause<SqlError>) => {
    inner.failed(cause)
    return failAfter(begin.isCutOff ? undone() : released(), cause)
  }
  const failed = (cause: Cause.Cause<E | SqlError>) => {
    mark("rollback")
    // It counts as undone, though the server need not be told.
    if (inner.isDue) outer.session.onRollback()
    const wait = (undoing: Fiber.Fiber<void>) => Effect.exit(restore(Fiber.await(undoing)))
    return failAfter(Cause.isInterruptedOnly(cause) ? undone() : Effect.flatMap(undone(), wait), cause)
  }
  const succeeded = (a: A) => {
    mark(kind.isNested ? "savepoint" : "commit")
    return Effect.matchCauseEffect(restore(kind.commit(commit, self.log)), {
      onSuccess: () => (outer.release(), Effect.succeed(a)),
      onFailure: (cause) => {
        inner.failed(cause)
        return failAfter(commit.isCutOff ? leaveCommit(self, outer) : undone(), cause)
      }
    })
  }

  // Afterwards no fiber that the body left behind can reach the session through its level.
  const ended = (exit: Exit.Exit<A, E | SqlError>) => {
    inner.end()
    if (Exit.isFailure(exit)) return failed(exit.cause)
    if (inner.doomed !== undefined) return failed(Cause.fail(inner.doomed))
    if (!inner.isDue) return succeeded(exit.value)
    // A body that has sent nothing is a transaction all the same: the server has to answer.
    return Effect.matchCauseEffect(restore(inner.begunBy(begin)), {
      onFailure: notBegun,
      onSuccess: () => succeeded(exit.value)
    })
  }
  const run = () =>
    Effect.matchCauseEffect(restore(body(inner)), {
      onFailure: (cause) => ended(Exit.failCause(cause)),
      // A nested transaction that was interrupted at the end must be undone before the COMMIT, and there is one exchange of
      // the session at a time.
      onSuccess: (a) =>
        inner.isUndoing || inner.isMoving
          ? Effect.flatMap(Effect.exit(inner.take("statement", restore)), (quiet) => ended(Exit.as(quiet, a)))
          : ended(Exit.succeed(a))
    })
  return kind.beginsWithBody
    ? run()
    : Effect.matchCauseEffect(restore(begin.send(kind.begin)), { onFailure: notBegun, onSuccess: run })
}

/**
 * `transaction` for users: with `retry`. A nested one with options of its own, which could not be kept, is refused.
 *
 * @internal
 */
export const withOptions = (self: Transactions) => {
  const make = makeTransaction(self)
  return (given: TransactionOptions) => {
    const decoded = orDie(decodeOptions(given))
    return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
      Effect.flatMap(decoded, (options) =>
        Effect.withFiberRuntime<A, E | SqlError, R>((fiber) => {
          const isNested = self.current(fiber.currentContext)?.isTransaction === true
          const refusal = isNested ? refusedNested(options) : undefined
          if (refusal !== undefined) return Effect.fail(refusal)
          const once = make(options)(effect)
          return options.retry === undefined
            ? once
            : Effect.retry(once, { schedule: options.retry, while: isWorthAnother })
        }))
  }
}
