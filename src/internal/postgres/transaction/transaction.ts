/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import type * as Pg from "pg"
import {
  CommitOutcomeUnknown,
  isDeadlock,
  isOutcomeUnknown,
  isSerializationFailure,
  NotCommitted,
  OutcomeUnknown
} from "../../../PgError.js"
import type { TransactionOptions } from "../../../PgPool.js"
import { failHere } from "../../effects.js"
import { orDie } from "../../elasticPool.js"
import { attempt, BadOption, fieldsOf, ofType, schedule } from "../../options.js"
import type { Reach } from "../../pool/reach.js"
import { leaveAfter } from "../../time/deadline.js"
import { ioClock } from "../../time/ioClock.js"
import { causes } from "../../words.js"
import { codeOf, isServerError, isSessionLost, sqlFailure } from "../errors/codes.js"
import { failure, headline, isNotSent, mostRetries } from "../errors/errors.js"
import { Lease } from "../lease/lease.js"
import type { Holder, Restore } from "../lease/turn.js"
import type { Sender } from "../session/request.js"
import type { Session } from "../session/session.js"
import { unbatched } from "./unbatched.js"

/** What a fiber's statements run on: a connection that was kept for it, or a transaction. @internal */
export class Level extends Lease {
  declare readonly outer: Level | undefined
  /** Whether users' statements run on it. A transaction on a connection of the pool has one below it that nobody sees. */
  isEntered = false
  /** Numbers the savepoints on a connection. */
  private savepoints = 0

  private constructor(
    /** Whose it is. */
    readonly client: object,
    session: Session,
    outer: Level | undefined,
    /** 0 for a transaction, more for nested ones, less for a connection outside of any. */
    readonly depth: number
  ) {
    super(session, outer)
  }

  static on(client: object, session: Session): Level {
    return new Level(client, session, undefined, -1)
  }

  nextSavepoint(): number {
    return this.outer === undefined ? ++this.savepoints : this.outer.nextSavepoint()
  }

  /** How its statements, and those of the nested ones, have failed where that says that the connection was lost. */
  readonly lost: Array<object> = []
  /** Whether its body has sent what may have committed it. */
  mayHaveCommitted = false

  override failed(cause: Cause.Cause<unknown>): void {
    const reason = cause._tag === "Fail" && cause.error instanceof SqlError ? cause.error.cause : undefined
    if (isLoss(reason)) this.whole.lost.push(reason)
  }

  protected override sends(text: string): void {
    if (mayCommit(text)) this.whole.mayHaveCommitted = true
  }

  override get pg(): Pg.Client {
    // Nobody sees what is sent by it.
    this.whole.mayHaveCommitted = true
    return super.pg
  }

  /** The transaction that this one is nested in, if any. */
  private get whole(): Level {
    return this.outer?.isTransaction === true ? this.outer.whole : this
  }

  get isTransaction(): boolean {
    return this.depth >= 0
  }

  /** A transaction on this level. Its statements take turns among themselves; meanwhile it has this level's turn. */
  below(): Level {
    return new Level(this.client, this.session, this, this.depth + 1)
  }
}

/** What transactions need of the client that they belong to. @internal */
export interface Transactions {
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  /** Lends a level of its own to an effect. */
  readonly withLevel: <A, E, R>(f: (level: Level) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** The level in force, and a context with another one. */
  readonly current: (context: Context.Context<never>) => Level | undefined
  readonly enter: <R>(level: Level, context: Context.Context<R>) => Context.Context<R>
  /** Runs what is to be told about what nobody waits for any more. */
  readonly report: (event: Effect.Effect<void>) => void
  readonly reach: Reach
}

type Mark = (event: "commit" | "rollback" | "savepoint") => void

/**
 * Runs all statements of an effect on one connection. Inside another one, or a transaction, they do so anyway.
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
  level: Level,
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
  const kind = Exit.succeed(transaction(options))
  const asked = askedOf(options)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.useSpan("sql.transaction", spanOptions, (span) =>
      Effect.withFiberRuntime<A, E | SqlError, R>((fiber) => {
        for (const [key, value] of self.spanAttributes) span.attribute(key, value)
        const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
        const mark: Mark = (event) => span.event(`db.transaction.${event}`, clock.unsafeCurrentTimeNanos())
        let hasBegun = false
        const body = (level: Level) => {
          hasBegun = true
          return run(self, level, unbatched(effect), span)
        }
        const outer = self.current(fiber.currentContext)
        if (outer?.isTransaction === true) {
          return inTurn(self, outer, "nested transaction", () => Exit.succeed(savepoint(outer)), mark, body)
        }
        // The user may have begun one by hand: then it is nested in that.
        const kindOn = (connection: Level) => () =>
          !connection.session.isInTransaction
            ? kind
            : asked.length > 0
            ? Exit.fail(nestedOptions(asked))
            : Exit.succeed(savepoint(connection))
        const top = (connection: Level) => inTurn(self, connection, "transaction", kindOn(connection), mark, body)
        if (outer !== undefined) return top(outer)
        // A session that has ended before its BEGIN is as good as none.
        const elsewhere = (retries: number): Effect.Effect<A, E | SqlError, R> =>
          Effect.catchIf(
            self.withLevel(top),
            (error) => retries > 0 && !hasBegun && isNotSent(error),
            () => elsewhere(retries - 1)
          )
        return elsewhere(mostRetries)
      }))
}

const spanOptions: Tracer.SpanOptions = { kind: "client", captureStackTrace: false }

/** How a transaction of one kind begins and ends. */
interface Kind {
  readonly begin: string
  readonly rollback: string
  readonly event: "commit" | "savepoint"
  /** What its caller is told of a failure. */
  readonly told: <E>(level: Level, cause: Cause.Cause<E>) => Cause.Cause<E | SqlError>
  readonly commit: (self: Transactions, order: Order) => Effect.Effect<void, SqlError>
}

const transaction = ({ deferrable, isolation, readOnly }: TransactionOptions): Kind => ({
  begin: [
    "BEGIN",
    ...(isolation === undefined ? [] : [`ISOLATION LEVEL ${isolation.toUpperCase()}`]),
    ...(readOnly === undefined ? [] : [readOnly ? "READ ONLY" : "READ WRITE"]),
    ...(deferrable === undefined ? [] : [deferrable ? "DEFERRABLE" : "NOT DEFERRABLE"])
  ].join(" "),
  rollback: "ROLLBACK",
  event: "commit",
  told: notCommitted,
  commit
})

const savepoint = (outer: Level): Kind => {
  const name = `effect_pgpool_${outer.nextSavepoint()}`
  return {
    begin: `SAVEPOINT ${name}`,
    rollback: `ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}`,
    event: "savepoint",
    told: (_, cause) => cause,
    commit: (_, order) => {
      // What is around it must not keep what was said to be interrupted.
      order.dooms = true
      return order.give(`RELEASE SAVEPOINT ${name}`)
    }
  }
}

/** What begins or ends a transaction on its connection. Once it is sent it ends by itself, whoever is interrupted (R22). */
class Order implements Sender {
  isCutOff = false
  /** Whether the connection's own transaction can't be committed if nobody knows what became of this. */
  dooms = false
  onLateAnswer?: Required<Sender>["onLateAnswer"]

  constructor(
    private readonly level: Level,
    /** What it ends. */
    private readonly ending?: Level
  ) {}

  get refusal(): SqlError | undefined {
    return this.level.refusal ?? this.ending?.endedByHand
  }

  onCutOff(): void {
    this.isCutOff = true
    if (this.dooms) this.level.onCutOff()
  }

  /** Gives it, within `queryTimeout`. */
  give(text: string): Effect.Effect<unknown, SqlError> {
    return this.level.session.inTime(this.level.session.query(text, "leave", this))
  }
}

/**
 * Runs a transaction when it is its turn and nothing is in flight: what kind of one it is depends on whether the
 * connection is in a transaction then.
 */
const inTurn = <A, E, R>(
  self: Transactions,
  outer: Level,
  holder: Holder,
  kindNow: () => Exit.Exit<Kind, SqlError>,
  mark: Mark,
  body: (level: Level) => Effect.Effect<A, E, R>
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
 * Runs the body between BEGIN and COMMIT or ROLLBACK. Whatever of these was sent ends by itself; what is undone is
 * undone in a fiber of its own, for which an interrupted caller does not wait (R22). Must run uninterruptibly, in the
 * transaction's turn.
 *
 * No generator: one that waits for the server several times comes to be allocated among the garbage collector's old
 * objects, and then takes longer than all the rest of this.
 */
const transact = <A, E, R>(
  self: Transactions,
  outer: Level,
  kind: Kind,
  mark: Mark,
  body: (level: Level) => Effect.Effect<A, E, R>,
  restore: Restore
): Effect.Effect<A, E | SqlError, R> => {
  const inner = outer.below()
  const begin = new Order(outer)
  const commit = new Order(outer, inner)
  const undone = () => undo(self, outer, kind)
  const released = () => Effect.sync(() => outer.release())
  const takesItsCourse = () =>
    leaveBehind(self, outer, outer.session.settled, (late) => outer.session.destroy(`it ${late}`))
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
    mark(kind.event)
    return Effect.matchCauseEffect(restore(kind.commit(self, commit)), {
      onSuccess: () => (outer.release(), Effect.succeed(a)),
      // What was sent takes its course: the server has committed or undone it, or will have.
      onFailure: (cause) => {
        inner.failed(cause)
        return failAfter(commit.isCutOff ? takesItsCourse() : undone(), cause)
      }
    })
  }

  return Effect.matchCauseEffect(restore(begin.give(kind.begin)), {
    onFailure: notBegun,
    onSuccess: () => Effect.matchCauseEffect(runBody(restore, inner, body), { onFailure: failed, onSuccess: succeeded })
  })
}

/** Runs the body; afterwards nothing that it left behind can reach the session through its level. */
const runBody = <A, E, R>(
  restore: Restore,
  level: Level,
  body: (level: Level) => Effect.Effect<A, E, R>
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

const isLoss = (reason: unknown): reason is object =>
  reason instanceof OutcomeUnknown || Predicate.isTagged(reason, "NotSent") || isSessionLost(reason)

/** What a lost answer leaves open of a statement is known of the whole: no COMMIT was sent. */
const notCommitted = <E>({ lost, mayHaveCommitted }: Level, cause: Cause.Cause<E>): Cause.Cause<E | SqlError> => {
  if (mayHaveCommitted || lost.length === 0) return cause
  for (const one of lost) undone.add(one)
  return Cause.map(cause, (error) => {
    if (!(error instanceof SqlError && error.cause instanceof OutcomeUnknown && undone.has(error.cause))) return error
    const cause = new NotCommitted({ cause: error.cause })
    return sqlFailure({ cause, message: cause.message })
  })
}

/** By what they failed that were not committed for that. A program may have wrapped it in an error of its own. */
const undone = new WeakSet<object>()

/** Whether a text may end the transaction that it is sent in, or leave that to another session. */
const mayCommit = (text: string): boolean => ending.test(text) || (isLong.test(text) && anywhere.test(text))

const ending = /^\s*(commit|end|prepare)\b/i
const anywhere = /\b(commit|end|prepare)\b/i
/** It has comments, or several statements. */
const isLong = /;\s*\S|--|\/\*/

const commit: Kind["commit"] = (self, order) => {
  order.onLateAnswer = (answer) => self.report(lateCommit(judge(answer)))
  return judge(order.give("COMMIT"))
}

/** What the answer to a COMMIT means. */
const judge = (answer: Effect.Effect<unknown, SqlError>): Effect.Effect<void, SqlError> =>
  answer.pipe(
    Effect.mapError((error) => {
      const { cause } = error
      if (Predicate.isTagged(cause, "TransactionDoomed")) return error
      const isKnown = isServerError(cause)
        ? !isSessionLost(cause)
        : unsent.some((tag) => Predicate.isTagged(cause, tag))
      if (isKnown) return failure("Failed to commit the transaction", cause)
      const unknown = new CommitOutcomeUnknown({ cause })
      return sqlFailure({ cause: unknown, message: unknown.message })
    }),
    Effect.flatMap((result) => (result as Pg.QueryResult).command === "ROLLBACK" ? rolledBack : Effect.void)
  )

/** Errors of a statement that was never sent. */
const unsent = ["NotSent", "LeaseEnded"]

/** So the server answers a COMMIT after a statement has failed, even if that failure was caught. */
const rolledBack = Effect.suspend(() =>
  Effect.fail(
    headline(
      "The transaction was rolled back: " +
        "The server answered COMMIT with ROLLBACK, because a statement of the transaction had failed"
    )
  )
)

const lateCommit = (outcome: Effect.Effect<void, SqlError>): Effect.Effect<void> =>
  Effect.matchEffect(outcome, {
    onSuccess: () => Effect.logInfo("A transaction was committed whose caller had been interrupted during COMMIT"),
    onFailure: ({ cause, message }) =>
      Effect.logWarning(
        Predicate.isTagged(cause, "CommitOutcomeUnknown")
          ? `It is not known what became of a transaction whose caller had been interrupted during COMMIT: ${message}`
          : `A transaction whose caller had been interrupted during COMMIT has failed: ${message}`
      )
  })

/**
 * Undoes in a fiber of its own what was begun on this connection, and then lets others have their turn. It never fails:
 * the body's own failure is what counts.
 */
const undo = (self: Transactions, level: Level, { rollback }: Kind): Effect.Effect<Fiber.Fiber<void>> => {
  const { session } = level
  const rollBack = Effect.zipRight(
    session.settled,
    Effect.suspend(() => session.isInTransaction ? session.query(rollback, "leave", new Order(level)) : Effect.void)
  ).pipe(
    // There is no such savepoint: the transaction around it had failed before.
    Effect.catchIf(({ cause }) => codeOf(cause) === "3B001", () => Effect.void)
  )
  return leaveBehind(self, level, rollBack, (late) => {
    session.destroy(`its ROLLBACK failed or ${late}`)
    self.report(Effect.logWarning(`A ROLLBACK failed or ${late}: its connection is closed`))
  })
}

/** Ends the turn with `work`, in a fiber of its own. A session for which `cleanupTimeout` is not enough is given up. */
const leaveBehind = (
  self: Transactions,
  level: Level,
  work: Effect.Effect<unknown, SqlError>,
  giveUp: (late: string) => void
): Effect.Effect<Fiber.Fiber<void>> => {
  const { cleanupTimeout } = self.reach
  const done = leaveAfter(work, cleanupTimeout, ioClock).pipe(
    Effect.map((exit) => {
      // Whose lease has ended has left the rest to the connection's own fiber (R15), and a lost one to the server.
      if (!level.isAlive || !level.session.isAlive || (Option.isSome(exit) && Exit.isSuccess(exit.value))) return
      giveUp(`took longer than cleanupTimeout (${Math.round(cleanupTimeout)} ms)`)
    }),
    Effect.ensuring(Effect.sync(() => level.release()))
  )
  level.beginUndo()
  return Effect.forkDaemon(done)
}

/**
 * `transaction` for users: with `retry`, and not where its options could not be kept.
 *
 * @internal
 */
export const withOptions = (self: Transactions) => {
  const make = makeTransaction(self)
  return (given: TransactionOptions) => {
    const decoded = orDie(attempt(() => checked(given)))
    return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
      Effect.flatMap(decoded, (options) =>
        Effect.withFiberRuntime<A, E | SqlError, R>((fiber) => {
          const isNested = self.current(fiber.currentContext)?.isTransaction === true
          const asked = isNested ? askedOf(options) : []
          if (asked.length > 0) return Effect.fail(nestedOptions(asked))
          const once = make(options)(effect)
          return options.retry === undefined
            ? once
            : Effect.retry(once, { schedule: options.retry, while: isWorthAnother })
        }))
  }
}

const isolations = ["read committed", "repeatable read", "serializable"]

const checked = (given: TransactionOptions): TransactionOptions => {
  const options = fieldsOf("transaction", given)
  const { deferrable, isolation, readOnly, retry } = options
  if (isolation !== undefined && !isolations.includes(isolation)) {
    throw new BadOption("isolation", isolation, `one of ${isolations.map((one) => JSON.stringify(one)).join(", ")}`)
  }
  for (const [option, value] of Object.entries({ readOnly, deferrable })) ofType(option, value, "boolean")
  if (retry !== undefined) schedule("retry", retry)
  return options
}

const askedOf = (options: TransactionOptions): ReadonlyArray<string> =>
  Object.entries(options).flatMap(([option, value]) => value === undefined ? [] : [option])

const nestedOptions = (asked: ReadonlyArray<string>): SqlError => {
  const message = `A transaction inside another one can't have options of its own: ${asked.join(", ")}`
  return headline(message)
}

/** It conflicted with another one, or its connection was lost before COMMIT was sent. */
const isWorthAnother = (error: unknown): boolean =>
  causes(error).some((cause) => undone.has(cause as object)) ||
  (!isOutcomeUnknown(error) && (isSerializationFailure(error) || isDeadlock(error)))
