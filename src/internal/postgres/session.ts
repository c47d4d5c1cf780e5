/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Pg from "pg"
import { NotSent } from "../../PgError.js"
import { leaveAfter } from "../pool/deadlines.js"
import { cancelRequest } from "./cancel.js"
import { isServerError, isWriteError, leavesOutcomeOpen } from "./codes.js"
import type { Target } from "./config.js"
import { lostAnswer, queryTimedOut, statementError } from "./errors.js"

/**
 * What happens to a statement whose caller is interrupted: it is cancelled on the server, or left to end by itself
 * (a COMMIT must never be cancelled, R22).
 *
 * @internal
 */
export type OnInterrupt = "cancel" | "leave"

/** What a borrower has to say to a query. @internal */
export interface Hooks {
  /** Why it must not be sent any more; asked at the very moment. */
  readonly refusal?: () => SqlError | undefined
  /** Told when the answer is there and the session settled, just before the caller is. */
  readonly onAnswer?: () => void
  /** Told when the caller is interrupted after it was sent, and before it has heard the answer. */
  readonly onCutOff?: () => void
  /** Told the answer after that. */
  readonly onLateAnswer?: (answer: Exit.Exit<unknown, SqlError>) => void
}

/** `pg`'s client, with the parts that are not in its types. @internal */
export interface Client extends Omit<Pg.Client, "connection" | "query" | "connect" | "end"> {
  readonly connection: Pg.Connection
  readonly processID: number | null
  readonly secretKey: number | null
  readonly readyForQuery?: boolean
  /** `false` after an error of the connection: nothing is sent any more, although its socket may not have ended yet. */
  readonly _queryable: boolean
  readonly getTransactionStatus: () => "I" | "T" | "E" | null
  readonly query: (query: unknown, callback?: (error: unknown, result: any) => void) => unknown
  readonly connect: (callback: (error: unknown) => void) => void
  readonly end: (callback: () => void) => void
}

/** Real time: no test clock can move a socket (R14). @internal */
export const realClock: Clock.Clock = Clock.make()

/**
 * One session of PostgreSQL. It is told what is sent, and knows when it is settled: no statement in flight, and no
 * cancel that could still hit one.
 *
 * @internal
 */
export class Session {
  private ended = false
  /** How the connection was lost. */
  loss: unknown = undefined
  private cancelling = false
  private canceller: Fiber.RuntimeFiber<void> | undefined = undefined
  private inFlight: OnInterrupt | undefined = undefined
  private whenSettled: Array<() => void> = []

  constructor(
    readonly client: Client,
    readonly target: Target,
    private readonly onLost: (session: Session) => void
  ) {
    // From birth to death: an error without a listener would end the process (R17).
    client.on("error", (error) => {
      this.loss ??= error
      this.onLost(this)
    })
    client.on("end", () => {
      this.loss ??= new Error("Connection terminated")
      this.end()
    })
  }

  /** The server has said that it is ready. `pg` asks for that itself as well, and must be first. */
  listen(): void {
    this.client.connection.on("readyForQuery", () => this.settle())
  }

  get processId(): number {
    return this.client.processID ?? 0
  }

  get isAlive(): boolean {
    return !this.ended && this.client._queryable
  }

  get isSettled(): boolean {
    return this.ended || (this.client.readyForQuery === true && !this.cancelling)
  }

  /** Whether the last borrower left nothing behind that is known without asking the server (R15). */
  get isClean(): boolean {
    return this.isSettled && this.isAlive && this.client.getTransactionStatus() === "I"
  }

  get isInTransaction(): boolean {
    return this.client.getTransactionStatus() !== "I"
  }

  /** A borrower's statement. It is cancelled when its caller is interrupted or `queryTimeout` has passed. */
  statement<A>(query: unknown, hooks?: Hooks): Effect.Effect<A, SqlError> {
    return this.inTime(this.query<A>(query, "cancel", hooks))
  }

  /** Interrupts what takes longer than `queryTimeout` (R24). */
  inTime<A>(answer: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    const { queryTimeout } = this.target
    return queryTimeout === Infinity
      ? answer
      : Effect.interruptible(answer).pipe(
        // What can't be interrupted, as a finaliser, is waited for no longer either.
        Effect.timeoutFail({ duration: queryTimeout, onTimeout: queryTimedOut }),
        Effect.withClock(realClock)
      )
  }

  /** Sends one query and gives its result, once the session is settled again. */
  query<A>(query: unknown, onInterrupt: OnInterrupt, hooks?: Hooks): Effect.Effect<A, SqlError> {
    return Effect.suspend(() => {
      if (!this.isAlive) return Effect.fail(this.notSent())
      if (!this.isSettled) return Effect.zipRight(this.settled, this.query<A>(query, onInterrupt, hooks))
      return Effect.async<A, SqlError>((resume) => {
        const refusal = hooks?.refusal?.()
        if (refusal !== undefined) return resume(Effect.fail(refusal))
        let isAnswered = false
        let isCutOff = false
        let answer: Exit.Exit<A, SqlError> | undefined = undefined
        // `pg` tells of a failure before the server is ready again, and may tell twice.
        this.submit(query, onInterrupt, (error, result) => {
          if (isAnswered) return
          isAnswered = true
          const hasFailed = error !== null && error !== undefined
          this.onceSettled(() => {
            answer = hasFailed ? Exit.fail(this.failure(error)) : Exit.succeed(result as A)
            hooks?.onAnswer?.()
            if (isCutOff) hooks?.onLateAnswer?.(answer)
            else resume(answer)
          })
        })
        return Effect.sync(() => {
          isCutOff = true
          hooks?.onCutOff?.()
          // With the answer the session may have gone to somebody else.
          if (!isAnswered) this.interrupted()
          // Its caller has not heard it, and never will.
          else if (answer !== undefined) hooks?.onLateAnswer?.(answer)
        })
      })
    })
  }

  /** Sends a query; the session is settled again when the server is ready. */
  submit(query: unknown, onInterrupt: OnInterrupt, callback?: (error: unknown, result: unknown) => void): void {
    this.inFlight = onInterrupt
    this.client.query(query, callback)
  }

  /** What a failed query tells its caller: the server's words, or that the answer was lost (R22). */
  failure(error: unknown): SqlError {
    if (isServerError(error)) return leavesOutcomeOpen(error) ? lostAnswer(error) : statementError(error)
    // The socket did not take all of it: without its end the server has done nothing that lasts.
    if (isWriteError(error)) return this.notSent(error)
    return this.ended ? lostAnswer(error) : statementError(error)
  }

  /** What one fails with that comes after the connection was lost. */
  notSent(cause?: unknown): SqlError {
    return statementError(new NotSent({ cause: this.loss ?? cause }))
  }

  /** Waits until nothing is in flight and no cancel is under way (R16). */
  readonly settled: Effect.Effect<void> = Effect.async<void>((resume) => {
    const listener = () => resume(Effect.void)
    this.onceSettled(listener)
    return Effect.sync(() => {
      this.whenSettled = this.whenSettled.filter((other) => other !== listener)
    })
  })

  /**
   * The caller of the query in flight is gone: the query is cancelled, unless it must not be. Nobody waits for that
   * here; who uses the session next does (R16).
   */
  interrupted(): void {
    if (this.isSettled || this.inFlight !== "cancel" || this.cancelling) return
    this.cancelling = true
    // What is not settled by then is destroyed: nobody can know which statement the cancel will hit.
    this.canceller = Effect.runFork(
      cancelRequest(this.client, this.target).pipe(
        Effect.flatMap((isDone) => {
          if (!isDone) return Effect.sync(() => this.destroy())
          this.cancelled()
          return this.settled
        }),
        Effect.timeoutTo({
          duration: this.target.cleanupTimeout,
          onSuccess: () => {},
          onTimeout: () => this.destroy()
        }),
        Effect.withClock(realClock)
      )
    )
  }

  private cancelled(): void {
    this.cancelling = false
    this.settle()
  }

  readonly ping: Effect.Effect<void, SqlError> = Effect.suspend(() => this.query("SELECT 1", "leave"))

  /**
   * Says good-bye and waits for the socket to close. A statement that still runs is cancelled, so that it doesn't
   * outlive us on the server (R13). What takes more than half of the time that there is for clean-up is destroyed.
   */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (this.client.processID === null || this.ended) return Effect.sync(() => this.destroy())
    this.interrupted()
    const goodbye = Effect.async<void>((resume) => {
      if (this.ended) resume(Effect.void)
      else this.client.end(() => resume(Effect.void))
    })
    return leaveAfter(Effect.zipRight(this.settled, goodbye), this.target.cleanupTimeout / 2, realClock).pipe(
      Effect.zipRight(Effect.sync(() => this.destroy()))
    )
  })

  /** Gives the session up. */
  destroy(): void {
    this.canceller?.unsafeInterruptAsFork(FiberId.none)
    this.client.connection.stream.destroy()
    this.end()
  }

  private end(): void {
    this.ended = true
    this.onLost(this)
    this.settle()
  }

  /** Calls `listener` when nothing is in flight, now or later. */
  onceSettled(listener: () => void): void {
    if (this.isSettled) listener()
    else this.whenSettled.push(listener)
  }

  private settle(): void {
    if (!this.isSettled) return
    this.inFlight = undefined
    // One of them may send something: then the others wait on.
    while (this.isSettled && this.whenSettled.length > 0) this.whenSettled.shift()!()
  }
}
