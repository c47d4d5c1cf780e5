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
   * Lends a level of its own to an effect, and another one where that `isUnused` when the effect has failed. The wait for it
   * is below `span`.
   */
  readonly withLevel: <A, E, R>(
    f: (level: TransactionLevel) => Effect.Effect<A, E, R>,
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
        ? self.withLevel((level) => run(self, level, effect))
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
    Effect.useSpan("sql.transaction", spanOptions, (span) =>
      Effect.withFiberRuntime<A, E | SqlError, R>((fiber) => {
        for (const [key, value] of self.spanAttributes) span.attribute(key, value)
        const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
        const mark: Mark = (event) => span.event(`db.transaction.${event}`, clock.unsafeCurrentTimeNanos())
        let hasBegun = false
        const body = (level: TransactionLevel) => {
          hasBegun = true
          return run(self, level, unbatched(effect), span)
        }
        const outer = self.current(fiber.currentContext)
        if (outer?.isTransaction === true) {
          return inTurn(self, outer, "nested transaction", () => Exit.succeed(Kinds.savepoint(outer)), mark, body)
        }
        // Where the user has begun a transaction by hand, this one is nested in it.
        const kindOn = (connection: TransactionLevel) => () => {
          if (!connection.session.isInTransaction) return kind
          const refusal = refusedNested(options)
          return refusal === undefined ? Exit.succeed(Kinds.savepoint(connection)) : Exit.fail(refusal)
        }
        const top = (connection: TransactionLevel) =>
          inTurn(self, connection, "transaction", kindOn(connection), mark, body)
        if (outer !== undefined) return top(outer)
        // The session may end between its hand-over and BEGIN: another one is taken.
        const isUnused = (cause: Cause.Cause<unknown>) => !hasBegun && Cause.isFailType(cause) && isNotSent(cause.error)
        return self.withLevel(top, isUnused, span)
      }))
}

const spanOptions: Tracer.SpanOptions = { kind: "client", captureStackTrace: false }

/**
 * Runs a transaction when it is its turn and nothing is in flight. Its kind depends on whether the connection is in a
 * transaction at that moment.
 */
const inTurn = <A, E, R>(
  self: Transactions,
  outer: TransactionLevel,
  holder: Holder,
  kindNow: () => Exit.Exit<Kind, SqlError>,
  mark: Mark,
  body: (level: TransactionLevel) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(outer.take(holder, restore), () => {
      const { isSettled, settledInTime } = outer.session
      return Effect.matchCauseEffect(isSettled ? kindNow() : Effect.flatMap(restore(settledInTime), kindNow), {
        onFailure: (cause) => (outer.release(), Effect.failCause(cause)),
        onSuccess: (kind) => transact(self, outer, kind, mark, body, restore)
      })
    })
  )

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
  const inner = outer.below()
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

  return Effect.matchCauseEffect(restore(begin.send(kind.begin)), {
    onFailure: notBegun,
    onSuccess: () => Effect.matchCauseEffect(runBody(restore, inner, body), { onFailure: failed, onSuccess: succeeded })
  })
}

/** Runs the body. Afterwards no fiber that it left behind can reach the session through its level. */
const runBody = <A, E, R>(
  restore: Restore,
  level: TransactionLevel,
  body: (level: TransactionLevel) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> => {
  const end = (exit: Exit.Exit<A, E | SqlError>): Exit.Exit<A, E | SqlError> => {
    level.end()
    return Exit.isSuccess(exit) && level.doomed !== undefined ? Exit.fail(level.doomed) : exit
  }
  return Effect.matchCauseEffect(restore(body(level)), {
    onFailure: (cause) => end(Exit.failCause(cause)),
    // A nested transaction that was interrupted at the end must be undone before the COMMIT.
    onSuccess: (a) =>
      level.isUndoing
        ? Effect.flatMap(Effect.exit(level.take("statement", restore)), (quiet) => end(Exit.as(quiet, a)))
        : end(Exit.succeed(a))
  })
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
