/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { NotSent } from "../../../PgError.js"
import { awaiting } from "../../effects.js"
import { leaveAfter, within } from "../../time/deadline.js"
import { ioClock } from "../../time/ioClock.js"
import type { Target } from "../config/target.js"
import type { Cancellable } from "../driver/cancel.js"
import { cancellable } from "../driver/cancel.js"
import type { OwnQuery } from "../driver/handOver.js"
import { HandOver, Supplanted } from "../driver/handOver.js"
import type { Client } from "../driver/pgClient.js"
import { inOnePiece } from "../driver/portal.js"
import { NamedQuery, PreparedStatements } from "../driver/prepared.js"
import { watchProtocol } from "../driver/protocol.js"
import type { Query } from "../driver/query.js"
import { StatementQuery } from "../driver/query.js"
import {
  hasEndedIdle,
  isHeldBack,
  isReadOnly,
  isServerError,
  isSessionLost,
  isWriteError,
  leavesOutcomeOpen
} from "../errors/codes.js"
import { lostAnswer, queryTimedOut, statementError } from "../errors/errors.js"
import { Canceller } from "./canceller.js"
import { endAfterLastWords } from "./lastWords.js"
import { heldBack } from "./pooler.js"
import type { Manner, OnInterrupt, Request, Sender } from "./request.js"
import { Sent } from "./request.js"
import type { Reported } from "./roles.js"
import { askRole, isForReading, isForWriting, roleOf, watchRole } from "./roles.js"
import type { Strays } from "./strays.js"

/** Terminate. */
const goodBye = Buffer.from([0x58, 0, 0, 0, 4])

/**
 * One session of PostgreSQL. It is told what is sent, and knows when it is settled: no statement in flight, and no
 * cancel that could still hit one.
 *
 * @internal
 */
export class Session {
  /** Told when `canShare` may be true again without an answer having come. */
  onShareable: () => void = () => {}
  ended = false
  /** How the connection was lost. */
  loss: unknown = undefined
  /** The server's last words: what it had not answered by then it has not done. */
  private farewell: unknown = undefined
  private readonly canceller = new Canceller(this)
  private inFlight: OnInterrupt | undefined = undefined
  /** Whoever has it is gone, whatever the books say. */
  private isCutOff = false
  /** Queries without an answer, how many of them may store something, and for how many nobody waits. */
  private unanswered = 0
  private writes = 0
  private abandoned = 0
  /** Counts the answers. */
  private answers = 0
  /** How often the server has said that it is ready. */
  readies = 0
  /** Where a cancel has to go. */
  cancellable: Cancellable
  /** The server may go on with what runs, although the session was given up here. */
  private mayRunOn = false
  /** It was ended so that a cancel can't be of use to anybody, and that has to go on. */
  private isCut = false
  /** It was closed here, and not by the server. */
  private isReset = false
  /** The one below TLS. */
  private readonly socket: Duplex
  private whenReady: Array<() => void> = []
  private whenSettled: Array<() => void> = []
  private readonly preparedStatements: PreparedStatements | undefined
  private readonly handOver: HandOver
  /** What the server has said of its role. */
  readonly reported: Reported

  constructor(
    readonly client: Client,
    readonly target: Target,
    private readonly onLost: (session: Session) => void
  ) {
    // With it, the process and the address anybody could cancel what the session does: it is not to be in any log (R20).
    Object.defineProperty(client, "secretKey", { enumerable: false, writable: true, value: null })
    this.cancellable = client
    this.socket = client.connection.stream
    this.handOver = new HandOver(client)
    this.preparedStatements = target.prepare === 0 ? undefined : new PreparedStatements(client, target.prepare)
    // From birth to death: an error without a listener would end the process (R17).
    client.on("error", (error) => {
      this.loss ??= error
      this.onLost(this)
    })
    this.reported = watchRole(client.connection, () => {
      if (isForReading(target.hosts.attrs)) this.onLost(this)
    })
    client.on("end", () => {
      this.loss ??= new Error("Connection terminated")
      this.end()
    })
    watchProtocol(client.connection as never, (error) => {
      this.loss ??= error
      this.destroy()
    })
    endAfterLastWords(this)
  }

  /** The server is ready for the first time: from now on each ReadyForQuery is noted. */
  watchReady(): void {
    this.readies++
    this.cancellable = cancellable(this.client)
    this.client.connection.prependListener("readyForQuery", () => this.readies++)
    // `pg` asks for that itself as well, and must be first.
    this.client.connection.on("readyForQuery", () => {
      this.ready()
      this.settle()
    })
  }

  get processId(): number {
    return this.client.processID ?? 0
  }

  get isAlive(): boolean {
    return !this.ended && this.client._queryable && !this.client._ending
  }

  get isSettled(): boolean {
    return this.isQuiet && (this.ended || !this.canceller.isSending)
  }

  private get isQuiet(): boolean {
    return this.ended || (this.client.readyForQuery === true && this.unanswered === 0)
  }

  /** Whether the last borrower left nothing behind that is known without asking the server (R15). */
  get isClean(): boolean {
    return this.isSettled && this.isAlive && this.client.getTransactionStatus() === "I"
  }

  /**
   * Whether a statement may be sent although others are on their way: not while a cancel could hit it, nor behind one that
   * is cancelled, with which the session may be given up (R16).
   */
  get canShare(): boolean {
    return this.isAlive && !this.canceller.isAtWork
  }

  get isInTransaction(): boolean {
    return this.client.getTransactionStatus() !== "I"
  }

  /** It is known to be in no transaction. With something in flight nobody knows. */
  get isOutside(): boolean {
    return this.isSettled && this.isAlive && !this.isInTransaction
  }

  /** A borrower's statement. It is cancelled when its caller is interrupted or `queryTimeout` has passed. */
  statement<A>(statement: Query, sender?: Sender): Effect.Effect<A, SqlError> {
    return this.inTime(Effect.suspend(() => this.query<A>(this.prepared(statement), "cancel", sender)))
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
    const { queryTimeout } = this.target
    const onTimeout = () => asError(queryTimedOut(queryTimeout))
    return within(answer, { millis: queryTimeout, clock: ioClock, onTimeout })
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
    let isAnswered = false
    let isAbandoned = false
    const request = new Sent<A>(() => {
      // With the answer the session may have gone to somebody else.
      if (isAnswered || how.onInterrupt === "leave") return
      isAbandoned = true
      this.abandoned++
      this.canceller.start()
    })
    const submit = (query: string | OwnQuery) => {
      isAnswered = false
      this.unanswered++
      if (how.isWrite === true) this.writes++
      const number = this.sent
      this.submit(query, how, (error, result) => {
        // `pg` may tell of a failure twice.
        if (isAnswered) return
        isAnswered = true
        this.answered(how, isAbandoned)
        if (this.handOver.isSupplanted(query)) error ??= new Supplanted()
        const hasFailed = error !== null && error !== undefined
        const tell = () => {
          const again = hasFailed && !isAbandoned ? this.again(query, sender) : undefined
          if (again !== undefined && this.canShare) return submit(again)
          const reason = () => again === undefined ? this.failure(error, number === this.sent) : this.notSent()
          request.answer = hasFailed ? Exit.fail(reason()) : Exit.succeed(result as A)
          onAnswer(request.answer)
        }
        if (how.isShared !== true) this.onceSettled(tell)
        // It tells of it before the server is ready for what comes next.
        else if (hasFailed && !this.isSettled) this.onceReady(tell)
        else tell()
      })
    }
    submit(query)
    return request
  }

  /**
   * A statement that failed because the server knows it no more, or not as it is now, is sent once more, outside a
   * transaction: the server had not come to execute it. Inside one, that is aborted now, and its caller has to know.
   */
  private again(query: string | OwnQuery, sender?: Sender): StatementQuery | undefined {
    const isStale = query instanceof NamedQuery && query.isStale
    return isStale && this.isAlive && !this.isInTransaction && sender?.refusal === undefined
      ? new StatementQuery(query.statement)
      : undefined
  }

  /** Sends a query; the session is settled again when the server is ready. */
  submit(query: string | OwnQuery, how: Manner, callback: (error: unknown, result: unknown) => void): void {
    this.inFlight = how.onInterrupt
    this.client.pipeline = how.isShared === true
    if (how.isShared === true) inOnePiece(this.client.connection, () => this.handOver.send(query, callback))
    else this.handOver.send(query, callback)
  }

  private get sent(): number {
    return this.answers + this.unanswered
  }

  private answered(how: Manner, isAbandoned: boolean): void {
    this.answers++
    this.unanswered--
    if (how.isWrite === true) this.writes--
    if (isAbandoned) this.abandoned--
    this.canceller.start()
  }

  /** A cancel hits whatever runs: it is due only when nobody waits for anything that was sent. */
  get runsForNobody(): boolean {
    if (this.isQuiet || this.inFlight !== "cancel") return false
    return this.isCutOff || (this.unanswered > 0 && this.abandoned === this.unanswered)
  }

  get hasUnbegunWrites(): boolean {
    return this.unanswered > 1 && this.writes > 0
  }

  /**
   * What a failed query tells its caller: the server's words, or that the answer was lost (R22). One error of the socket
   * comes to all that are on their way, of which only the last one can be what the socket did not take.
   */
  failure(error: unknown, isLast = true): SqlError {
    if (isServerError(error)) {
      if (leavesOutcomeOpen(error, this.ended)) return lostAnswer(error)
      // A statement may raise the same error by itself, and then its session lives on.
      if (this.ended && isSessionLost(error)) this.farewell = error
      if (isReadOnly(error) && isForWriting(this.target.hosts.attrs)) this.onLost(this)
      if (isHeldBack(error)) heldBack(this.target)
      else if (!hasEndedIdle(error)) return statementError(error)
      this.loss = error
      return this.notSent()
    }
    // It comes to one after the other: what is behind the last words has not been looked at.
    if (this.farewell !== undefined) return this.notSent(this.farewell)
    // The socket did not take all of it: without its end the server has done nothing that lasts.
    if (isLast && isWriteError(error)) return this.notSent(error)
    if (error instanceof Supplanted) return lostAnswer(error)
    return this.ended ? lostAnswer(this.loss ?? error) : statementError(error)
  }

  /** What one fails with that comes after the connection was lost. */
  notSent(cause?: unknown): SqlError {
    return statementError(new NotSent({ cause: this.loss ?? cause }))
  }

  /** Waits until nothing is in flight and no cancel is under way (R16). */
  readonly settled: Effect.Effect<void> = awaiting<void, never>((resume) => {
    const listener = () => resume(Effect.void)
    this.onceSettled(listener)
    return () => {
      this.whenSettled = this.whenSettled.filter((other) => other !== listener)
    }
  })

  /** The same for who is to send something then, within `queryTimeout`. */
  readonly settledInTime = Effect.suspend(() => this.inTime(this.settled, (timeout) => this.notSent(timeout)))

  /**
   * The caller of the query in flight is gone: the query is cancelled, unless it must not be. Nobody waits for that
   * here; who uses the session next does (R16).
   */
  interrupted(): void {
    if (this.isQuiet) return
    this.isCutOff = true
    this.canceller.start()
  }

  /** No cancel can hit anything any more: others may use it. */
  cancelled(): void {
    this.settle()
    this.onShareable()
  }

  /** Fails also where its host is no longer what was asked for. */
  readonly ping: Effect.Effect<void, SqlError> = Effect.suspend(() => askRole(this, roleOf(this.target.hosts.attrs)))

  /**
   * Says good-bye and waits for the socket to close. A statement that still runs is cancelled, so that it doesn't
   * outlive us on the server (R13). What takes more than half of the time that there is for clean-up is given up.
   */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (this.readies === 0) return Effect.sync(() => this.destroy())
    if (this.ended) return Effect.void
    this.interrupted()
    const goodbye = Effect.async<void>((resume) => {
      if (this.ended) resume(Effect.void)
      else this.client.end(() => resume(Effect.void))
    })
    const { cleanupTimeout } = this.target.reach
    return leaveAfter(Effect.zipRight(this.settled, goodbye), cleanupTimeout / 2, ioClock).pipe(
      Effect.zipRight(Effect.sync(() => this.giveUp("it was closed", this.canceller.hasReached)))
    )
  })

  /** Ends when the server has let go of it as well, or need not be waited for. */
  released(strays: Strays): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.zipRight(
        this.isCut ? this.canceller.rested : Effect.void,
        Effect.suspend(() =>
          this.mayRunOn || (this.isCut && this.canceller.hasReached)
            ? Effect.interruptible(strays.leave(this, this.gone))
            : Effect.void
        )
      )
    ).pipe(Effect.uninterruptible, Effect.withClock(ioClock), Effect.ensuring(Effect.sync(() => this.destroy())))
  }

  /** The server has closed it. Of a socket that was closed here nobody hears that. */
  private readonly gone = Effect.async<void>((resume) => {
    const { stream } = this.client.connection
    const listener = () => {
      if (!this.isReset) resume(Effect.void)
    }
    if (stream.destroyed) listener()
    else stream.once("close", listener)
    return Effect.sync(() => stream.off("close", listener))
  })

  /**
   * Gives the session up, whatever runs. Where the server may go on with that, the socket stays for a while: it tells of
   * the end, for which the server is asked.
   */
  giveUp(why: string, mayRunOn: boolean): void {
    if (this.ended) return
    this.loss ??= new Error(why)
    this.mayRunOn = mayRunOn && !this.isQuiet
    if (!this.mayRunOn) return this.destroy()
    if (this.unanswered > 1) this.reset()
    else this.sayGoodBye()
    this.client._errorAllQueries(this.loss)
    this.end()
  }

  /** The socket stays open: a proxy in between would answer its end with its own, whatever the server does. */
  private sayGoodBye(): void {
    this.client.connection.stream.write(goodBye)
  }

  /** Gives the session up so that the server can send nothing more. */
  cut(why: string): void {
    this.loss ??= new Error(why)
    this.isCut = true
    this.reset()
    this.end()
  }

  private reset(): void {
    const { socket } = this
    this.isReset = true
    if (socket instanceof Socket && socket.remoteAddress !== undefined) socket.resetAndDestroy()
    this.client.connection.stream.destroy()
  }

  /** Its socket makes room for that of a session that asks the server about it. Without a key nobody can ask. */
  letGo(): void {
    if (this.processId === 0) return
    this.isReset = true
    this.client.connection.stream.destroy()
  }

  /** Gives the session up at once. */
  destroy(why?: string): void {
    if (why !== undefined) this.loss ??= new Error(why)
    if (!this.isCut) this.canceller.giveUp()
    this.client.connection.stream.destroy()
    this.end()
  }

  private end(): void {
    if (this.ended) return
    this.ended = true
    this.onLost(this)
    this.ready()
    this.settle()
  }

  /** Calls `listener` when nothing is in flight, now or later. */
  onceSettled(listener: () => void): void {
    if (this.isSettled) listener()
    else this.whenSettled.push(listener)
  }

  /** Calls `listener` when the server is ready for the next query, be it on its way or not. */
  onceReady(listener: () => void): void {
    if (this.ended) listener()
    else this.whenReady.push(listener)
  }

  private ready(): void {
    const listeners = this.whenReady
    if (listeners.length === 0) return
    this.whenReady = []
    for (const listener of listeners) listener()
  }

  settle(): void {
    if (!this.isSettled) return
    this.inFlight = undefined
    this.isCutOff = false
    this.client.pipeline = false
    // One of them may send something: then the others wait on.
    while (this.isSettled && this.whenSettled.length > 0) this.whenSettled.shift()!()
  }
}
