/** @internal */
import type * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Pg from "pg"
import { CommitOutcomeUnknown } from "../../OutcomeUnknown.js"
import { leaveAfter } from "../pool/deadlines.js"
import { Lease } from "./connection.js"
import { isServerError, isSessionLost, NotSent } from "./errors.js"
import type { Session } from "./session.js"
import { realClock } from "./session.js"

/** The innermost transaction that a fiber is in. @internal */
export class Level {
  constructor(
    readonly lease: Lease,
    readonly depth: number,
    /** Numbers the savepoints of the whole transaction. */
    readonly savepoints: { count: number }
  ) {}

  /** A level below. Its statements take turns among themselves; meanwhile it has this level's turn. */
  below(): Level {
    return new Level(new Lease(this.lease.session), this.depth + 1, this.savepoints)
  }
}

/** What transactions need of the client that they belong to. @internal */
export interface Transactions {
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly withSession: <A, E, R>(f: (session: Session) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** The level in force, and a context with another one. */
  readonly current: (context: Context.Context<never>) => Level | undefined
  readonly enter: (level: Level) => <R>(context: Context.Context<R>) => Context.Context<R>
  readonly invalidate: (session: Session) => void
  readonly cleanupTimeout: number
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
type Mark = (event: "commit" | "rollback" | "savepoint") => void

/**
 * `withTransaction` of one client, with the spans and events of `@effect/sql`. Waiting for a connection can be
 * interrupted, every failure is typed, and the exit is the body's own where the body failed (R22).
 *
 * @internal
 */
export const makeWithTransaction =
  (self: Transactions): SqlClient.SqlClient["withTransaction"] => <R, E, A>(effect: Effect.Effect<A, E, R>) =>
    Effect.useSpan(
      "sql.transaction",
      { kind: "client", captureStackTrace: false },
      (span) =>
        Effect.withFiberRuntime<A, E | SqlError, R>((fiber) => {
          for (const [key, value] of self.spanAttributes) span.attribute(key, value)
          const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
          const mark: Mark = (event) => span.event(`db.transaction.${event}`, clock.unsafeCurrentTimeNanos())
          const body = (level: Level) =>
            Effect.withParentSpan(
              Effect.mapInputContext(effect, (context: Context.Context<R>) => self.enter(level)(context)),
              span
            )
          const outer = self.current(fiber.currentContext)
          return outer === undefined ? transaction(self, mark, body) : savepoint(self, mark, outer, body)
        })
    )

const transaction = <A, E, R>(
  self: Transactions,
  mark: Mark,
  body: (level: Level) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  self.withSession((session) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        yield* restore(session.statement("BEGIN"))
        const level = new Level(new Lease(session), 0, { count: 0 })
        const exit = yield* runBody(restore, level, body)
        if (Exit.isSuccess(exit)) {
          mark("commit")
          yield* restore(commit(session))
        } else {
          mark("rollback")
          // An interrupted caller is not kept waiting: the connection's own fiber rolls back (R22).
          if (!Cause.isInterruptedOnly(exit.cause)) yield* undo(self, session, "ROLLBACK")
        }
        return yield* exit
      })
    )
  )

const savepoint = <A, E, R>(
  self: Transactions,
  mark: Mark,
  outer: Level,
  body: (level: Level) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  outer.lease.inTurn(
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const level = outer.below()
        const { session } = level.lease
        const name = `effect_pgpool_${++level.savepoints.count}`
        const undoAll = undo(self, session, `ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}`)
        yield* restore(session.statement(`SAVEPOINT ${name}`))
        const exit = yield* runBody(restore, level, body)
        if (Exit.isSuccess(exit)) {
          mark("savepoint")
          yield* Effect.onError(restore(session.inTime(session.query(`RELEASE SAVEPOINT ${name}`, "leave"))), () =>
            undoAll)
        } else {
          mark("rollback")
          yield* undoAll
        }
        return yield* exit
      })
    )
  )

/** Runs the body; afterwards nothing that it left behind can reach the session through its lease. */
const runBody = <A, E, R>(
  restore: Restore,
  level: Level,
  body: (level: Level) => Effect.Effect<A, E, R>
): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.ensuring(Effect.exit(restore(body(level))), Effect.sync(() => level.lease.end()))

const commit = (session: Session): Effect.Effect<void, SqlError> =>
  session.inTime(session.query<Pg.QueryResult>("COMMIT", "leave")).pipe(
    Effect.mapError(({ cause }) => {
      const isKnown = cause instanceof NotSent || (isServerError(cause) && !isSessionLost(cause))
      if (isKnown) return new SqlError({ cause, message: "Failed to commit the transaction" })
      const unknown = new CommitOutcomeUnknown({ cause })
      return new SqlError({ cause: unknown, message: unknown.message })
    }),
    Effect.flatMap(({ command }) => command === "ROLLBACK" ? Effect.fail(rolledBack()) : Effect.void)
  )

/** So the server answers a COMMIT after a statement has failed, even if that failure was caught. */
const rolledBack = () =>
  new SqlError({
    cause: new Error("The server answered COMMIT with ROLLBACK, because a statement of the transaction had failed"),
    message: "The transaction was rolled back"
  })

/**
 * Waits for `cleanupTimeout` at the most, interrupted or not, and never fails: the body's own failure is what counts. A
 * session that can't be rolled back in time is given up.
 */
const undo = (self: Transactions, session: Session, statement: string): Effect.Effect<void> =>
  Effect.flatMap(leaveAfter(session.query(statement, "leave"), self.cleanupTimeout, realClock), (exit) => {
    if (Option.isSome(exit) && Exit.isSuccess(exit.value)) return Effect.void
    self.invalidate(session)
    return Effect.logDebug("A rollback failed, its connection is closed", ...Option.toArray(exit))
  })
