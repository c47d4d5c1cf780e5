/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import { awaiting } from "../../effects.js"
import { within } from "../../time/deadline.js"
import { isForReading, isForWriting, roleOf } from "../config/attrs.js"
import type { Target } from "../config/target.js"
import type { Begin } from "../driver/begin.js"
import type { Cancellable } from "../driver/cancel.js"
import { cancellable } from "../driver/cancel.js"
import type { OwnQuery } from "../driver/handOver.js"
import { HandOver } from "../driver/handOver.js"
import { inOnePiece } from "../driver/onePiece.js"
import type { Client } from "../driver/pg.js"
import { NamedQuery, PreparedStatements } from "../driver/prepared.js"
import { watchProtocol } from "../driver/protocol.js"
import type { Query } from "../driver/query.js"
import { StatementQuery } from "../driver/query.js"
import { queryTimedOut } from "../errors/errors.js"
import { Canceller } from "./canceller.js"
import { Ending } from "./ending.js"
import type { Manner, OnInterrupt } from "./flight.js"
import { Flight } from "./flight.js"
import { endAfterLastWords } from "./lastWords.js"
import { mayCommit } from "./mayCommit.js"
import type { Note } from "./outcome.js"
import { notSent, outcomeOf } from "./outcome.js"
import { heldBack } from "./pooler.js"
import type { Sender } from "./request.js"
import { Request } from "./request.js"
import type { Reported } from "./roles.js"
import { askRole, watchRole } from "./roles.js"
import type { Strays } from "./strays.js"

/**
 * One session of PostgreSQL: statements are sent on it, and cancelled when nobody waits for them any more. What is in
 * flight stands in its `flight`, how it ends in its `ending`.
 *
 * @internal
 */
export class Session {
  /** Told when `canShare` may be true again without an answer having come. */
  onShareable: () => void = () => {}
  /** Told of each statement that the server is asked to cancel. */
  onCancel: () => void = () => {}
  /** Told when the server has rolled a transaction back, or will, as the session has ended before its COMMIT. */
  onRollback: () => void = () => {}
  readonly flight: Flight
  readonly ending: Ending
  readonly handOver: HandOver
  /** What the server has said of its role. */
  readonly reported: Reported
  /** Where a cancel has to go. */
  cancellable: Cancellable
  /** The BEGIN of what was sent last, and whether that may have committed the transaction that it was sent in. */
  private begin: Begin | undefined = undefined
  private mayHaveCommitted = false
  private readonly canceller = new Canceller(this)
  private readonly preparedStatements: PreparedStatements | undefined

  constructor(
    readonly client: Client,
    readonly target: Target,
    private readonly onLost: (session: Session) => void
  ) {
    // With it, the process and the address anybody could cancel what the session does: it is not to be in any log (R20).
    Object.defineProperty(client, "secretKey", { enumerable: false, writable: true, value: null })
    this.cancellable = client
    this.flight = new Flight(client)
    this.ending = new Ending(this, this.canceller, onLost)
    this.handOver = new HandOver(client)
    this.preparedStatements = target.prepare === 0 ? undefined : new PreparedStatements(client, target.prepare)
    this.reported = watchRole(client.connection, () => {
      if (isForReading(target.hosts.attrs)) this.onLost(this)
    })
    watchProtocol(client.connection, (error) => this.ending.violated(error))
    endAfterLastWords(this)
  }

  /** The server is ready for the first time. From now on the session hears each time that it is. */
  watchReady(): void {
    const { client: { connection }, flight } = this
    flight.ready()
    this.cancellable = cancellable(this.client)
    connection.prependListener("readyForQuery", () => flight.ready())
    // `pg` asks for that itself as well, and must be first.
    connection.on("readyForQuery", () => flight.tell())
  }

  get processId(): number {
    return this.client.processID ?? 0
  }

  get isAlive(): boolean {
    return this.ending.isOpen && this.client._queryable && !this.client._ending
  }

  /** No query is in flight, and no cancel is under way that could still hit one. */
  get isSettled(): boolean {
    return this.flight.isSettled
  }

  /** It is known without asking the server that nothing is in flight and no transaction is open (R15). */
  get isClean(): boolean {
    return this.isSettled && this.isAlive && !this.isInTransaction
  }

  /**
   * Whether a statement may be sent while others are in flight: not while a cancel could hit it, nor behind one that is
   * cancelled, with which the session may be given up (R16).
   */
  get canShare(): boolean {
    return this.isAlive && !this.canceller.isAtWork
  }

  get isInTransaction(): boolean {
    return this.client.getTransactionStatus() !== "I"
  }

  /** Whether the server rolls a transaction back if the session ends now. */
  get endsTransaction(): boolean {
    const { isQuiet } = this.flight
    const hasBegun = this.isInTransaction || (!isQuiet && this.begin?.isDone === true)
    return hasBegun && (isQuiet || !this.mayHaveCommitted)
  }

  /** What is sent for a statement: prepared if that is asked for. One without parameters may be several in one. */
  prepared(statement: Query): StatementQuery {
    return this.preparedStatements === undefined || statement.values.length === 0 || statement.isUnprepared === true
      ? new StatementQuery(statement)
      : new NamedQuery(this.preparedStatements, statement)
  }

  /** Interrupts what takes longer than `queryTimeout` (R24). */
  inTime<A>(
    answer: Effect.Effect<A, SqlError>,
    asError: (timeout: SqlError) => SqlError = identity
  ): Effect.Effect<A, SqlError> {
    const { io, queryTimeout } = this.target
    const onTimeout = () => asError(queryTimedOut(queryTimeout))
    return within(answer, { millis: queryTimeout, clock: io.clock, onTimeout })
  }

  /** Sends one query and gives its result, once the session is settled again. */
  query<A>(query: string | OwnQuery, onInterrupt: OnInterrupt, sender?: Sender): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      if (!this.isAlive) return Effect.fail(this.notSent())
      if (!this.isSettled) return Effect.zipRight(this.settled, this.query<A>(query, onInterrupt, sender))
      return awaiting<A, SqlError>((resume) => {
        const refusal = sender?.refusal
        if (refusal !== undefined) {
          resume(Effect.fail(refusal))
          return
        }
        let isCutOff = false
        const onAnswer = (answer: Exit.Exit<A, SqlError>) => {
          if (isCutOff) sender?.onLateAnswer?.(answer)
          else resume(answer)
        }
        const request = this.send(query, { onInterrupt }, onAnswer, sender)
        return () => {
          isCutOff = true
          sender?.onCutOff()
          request.abandon()
          // Its caller has not heard it, and never will.
          if (request.answer !== undefined) sender?.onLateAnswer?.(request.answer)
        }
      })
    })
  }

  /**
   * Sends a query in this moment, and tells its answer. The session is settled again then; if others share it, that
   * query alone is done with.
   */
  send<A>(
    query: string | OwnQuery,
    how: Manner,
    onAnswer: (answer: Exit.Exit<A, SqlError>) => void,
    sender?: Sender
  ): Request<A> {
    const request = new Request<A>(this, how, onAnswer, sender)
    request.send(query)
    return request
  }

  /** Sends a query that tells of its answer in its own way. The session is settled again when the server is ready. */
  submit(query: OwnQuery, how: Manner, callback: (error: unknown, result: unknown) => void): void {
    this.flight.begun(how)
    this.write(query, how, callback)
  }

  /** Gives the driver a query of which the flight knows. */
  write(query: string | OwnQuery, how: Manner, callback: (error: unknown, result: unknown) => void): void {
    const { begin = undefined, text } = typeof query === "string" ? { text: query } : query
    this.begin = begin
    if (this.isInTransaction || begin !== undefined) this.mayHaveCommitted = mayCommit(text)
    if (how.isShared === true) inOnePiece(this.client.connection, () => this.handOver.send(query, callback))
    else this.handOver.send(query, callback)
  }

  /** What a failed query tells its caller (R22). What the failure tells of the session is noted. */
  failure(error: unknown, isLatest = true): SqlError {
    const { farewell, isOpen, loss } = this.ending
    const { notes, told } = outcomeOf(error, {
      hasEnded: !isOpen,
      loss,
      farewell,
      isLatest,
      isForWriting: isForWriting(this.target.hosts.attrs)
    })
    for (const note of notes) this.note(note, error)
    return told
  }

  private note(note: Note, error: unknown): void {
    switch (note) {
      case "farewell":
        this.ending.farewell = error
        return
      case "wrong role":
        return this.onLost(this)
      case "held back":
        return heldBack(this.target)
      case "lost":
        this.ending.loss = error
    }
  }

  /** The failure of a query that comes after the connection was lost. */
  notSent(cause?: unknown): SqlError {
    return notSent(this.loss ?? cause)
  }

  /** Waits until nothing is in flight and no cancel is under way (R16). */
  readonly settled: Effect.Effect<void> = awaiting<void, never>((resume) => {
    const listener = () => resume(Effect.void)
    this.flight.onceSettled(listener)
    return () => this.flight.forget(listener)
  })

  /** The same for a caller that is to send something then, within `queryTimeout`. */
  readonly settledInTime = Effect.suspend(() => this.inTime(this.settled, (timeout) => this.notSent(timeout)))

  /**
   * The borrower is gone: what is in flight is cancelled, unless it must not be. Nobody waits for that here; the next
   * borrower does (R16).
   */
  interrupted(): void {
    this.flight.cutOff()
    this.cancelIfDue()
  }

  /** Has what runs cancelled, if nobody waits for anything that is in flight. */
  cancelIfDue(): void {
    this.canceller.start()
  }

  /** No cancel can hit anything any more: others may use the session. */
  cancelled(): void {
    this.flight.settle()
    this.onShareable()
  }

  /** Fails also where its host is no longer what was asked for. */
  readonly ping: Effect.Effect<void, SqlError> = Effect.suspend(() => askRole(this, roleOf(this.target.hosts.attrs)))

  /** How the connection was lost. */
  get loss(): unknown {
    return this.ending.loss
  }

  /** Says good-bye and waits for the socket to close. */
  get close(): Effect.Effect<void> {
    return this.ending.close
  }

  /** Ends when the server has let go of the session as well, or need not be waited for. */
  released(strays: Strays): Effect.Effect<void> {
    return this.ending.released(strays)
  }

  /** Gives the session up at once. */
  destroy(why?: string): void {
    this.ending.destroy(why)
  }
}
