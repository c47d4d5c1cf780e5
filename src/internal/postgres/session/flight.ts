/** @internal */

/**
 * What happens to a query whose caller is interrupted: it is cancelled on the server, or left to end by itself. A COMMIT
 * must never be cancelled (R22).
 *
 * @internal
 */
export type OnInterrupt = "cancel" | "leave"

/** How a query is sent. @internal */
export interface Manner {
  readonly onInterrupt: OnInterrupt
  /** Other callers may have queries in flight at the same time (`pg` calls that its pipeline mode). */
  readonly isShared?: boolean
  /** It may store something, or nobody can tell. */
  readonly isWrite?: boolean
}

/** That of a borrower's statement on a session that nobody shares with it. @internal */
export const alone: Manner = { onInterrupt: "cancel", isShared: false, isWrite: false }

/** The connection below, as the driver knows it. @internal */
export interface Line {
  /** The server waits for the next query. The driver also knows of the queries that users send by it. */
  readonly readyForQuery?: boolean
  /** Queries are sent before the last one is answered. */
  pipeline: boolean
}

type Listener = () => void

/**
 * What is in flight on one session: the queries that were sent and not answered, how many of them nobody waits for any
 * more, and whether a cancel could still hit one. Events are told to it by its verbs; its questions change nothing.
 *
 * The session is settled when no query is in flight and no cancel is under way: what is sent then meets nothing (R16).
 *
 * @internal
 */
export class Flight {
  /** How often the server has said that it is ready for the next query. */
  readies = 0
  hasEnded = false
  /** What an interrupt means to the latest query. */
  private onInterrupt: OnInterrupt | undefined = undefined
  /** The borrower is gone: nobody waits for anything, whatever the counts say. */
  private isCutOff = false
  /** A request to cancel is under way. The server may act on it at any moment. */
  private isCancelUnderWay = false
  /** Numbers the queries. */
  private latest = 0
  /** Queries without an answer; how many of them may store something, and for how many nobody waits. */
  private unanswered = 0
  private writes = 0
  private abandoned = 0
  private whenReady: Array<Listener> = []
  private whenSettled: Array<Listener> = []

  constructor(private readonly line: Line) {}

  /** A query is sent of which only the server's readiness tells the end. */
  begun({ isShared = false, onInterrupt }: Manner): void {
    this.onInterrupt = onInterrupt
    this.line.pipeline = isShared
  }

  /** A query is sent, and its answer will be told. Gives its number. */
  sent(how: Manner): number {
    this.begun(how)
    this.unanswered++
    if (how.isWrite === true) this.writes++
    return ++this.latest
  }

  /** The caller of one query no longer waits for its answer. */
  abandon(): void {
    this.abandoned++
  }

  /** The borrower no longer waits for anything. */
  cutOff(): void {
    if (!this.isQuiet) this.isCutOff = true
  }

  answered({ isWrite }: Manner, wasAbandoned: boolean): void {
    this.unanswered--
    if (isWrite === true) this.writes--
    if (wasAbandoned) this.abandoned--
  }

  cancelSent(): void {
    this.isCancelUnderWay = true
  }

  /** The server has taken the request: it can hit nothing that is sent from now on. */
  cancelTaken(): void {
    this.isCancelUnderWay = false
    this.settle()
  }

  /** The server is ready for the next query. `tell` is to follow, once the driver has told the answers. */
  ready(): void {
    this.readies++
  }

  /** Nothing more will come. `tell` is to follow. */
  ended(): void {
    this.hasEnded = true
  }

  /** Tells those who wait that the server is ready, or that the session has ended. */
  tell(): void {
    if (this.whenReady.length > 0) {
      const listeners = this.whenReady
      this.whenReady = []
      for (const listener of listeners) listener()
    }
    this.settle()
  }

  /** Tells those who wait for it, if the session is settled. */
  settle(): void {
    if (!this.isSettled) return
    this.onInterrupt = undefined
    this.isCutOff = false
    this.line.pipeline = false
    // A listener may send something: then the others wait on.
    while (this.isSettled && this.whenSettled.length > 0) this.whenSettled.shift()!()
  }

  /** Calls `listener` when the server is ready again, or the session has ended, whatever is in flight then. */
  onceReady(listener: Listener): void {
    if (this.hasEnded) listener()
    else this.whenReady.push(listener)
  }

  /** Calls `listener` when the session is settled, now or later. */
  onceSettled(listener: Listener): void {
    if (this.isSettled) listener()
    else this.whenSettled.push(listener)
  }

  /** The listener no longer waits for the session to settle. */
  forget(listener: Listener): void {
    this.whenSettled = this.whenSettled.filter((other) => other !== listener)
  }

  get isQuiet(): boolean {
    return this.hasEnded || (this.line.readyForQuery === true && this.unanswered === 0)
  }

  get isSettled(): boolean {
    return this.hasEnded || (!this.isCancelUnderWay && this.isQuiet)
  }

  isLatest(number: number): boolean {
    return number === this.latest
  }

  /**
   * Whether something runs, and nobody waits for anything that was sent. Only then a cancel is due: it hits whatever runs
   * when it comes.
   */
  get runsForNobody(): boolean {
    if (this.isQuiet || this.onInterrupt !== "cancel") return false
    return this.isCutOff || (this.unanswered > 0 && this.abandoned === this.unanswered)
  }

  /** Whether queries wait on the server for the end of the one that runs. */
  get hasUnbegun(): boolean {
    return this.unanswered > 1
  }

  /** Whether one of several may store something. If it has not begun it must not: nobody could tell what it would do. */
  get hasUnbegunWrites(): boolean {
    return this.hasUnbegun && this.writes > 0
  }
}
