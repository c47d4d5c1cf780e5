/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { secondsNow } from "../../time/stopwatch.js"
import type { Query } from "../driver/query.js"
import type { Request } from "../session/request.js"
import type { Lease } from "./lease.js"
import type { OneOrMany } from "./statements.js"
import { answerOf } from "./statements.js"

/**
 * One statement on a lease that has its turn at once, on a session where nothing is in flight: most are. It is sent in the
 * step in which its caller asks, and its turn ends with the answer.
 *
 * @internal
 */
export class LeasedStatement<A> {
  private readonly begun: number
  private readonly request: Request<OneOrMany>
  private isOver = false

  constructor(
    private readonly lease: Lease,
    query: Query,
    private readonly read: (result: OneOrMany) => A,
    private readonly resume: (exit: Exit.Exit<A, SqlError>) => void
  ) {
    const { session } = lease
    this.begun = session.target.operations === undefined ? 0 : secondsNow()
    this.request = session.send(
      session.prepared(query),
      { onInterrupt: "cancel" },
      (answer) => this.answered(answer),
      lease
    )
  }

  private answered(answer: Exit.Exit<OneOrMany, SqlError>): void {
    if (this.isOver) return
    this.end(answer)
    if (Exit.isFailure(answer)) this.lease.failed(answer.cause)
    this.resume(answerOf(answer, this.read))
  }

  /** Its caller is gone, and has not heard the answer. */
  interrupt(): void {
    this.lease.onCutOff()
    this.request.abandon()
    if (!this.isOver) this.end(interrupted)
  }

  private end(exit: Exit.Exit<unknown, SqlError>): void {
    const { lease } = this
    this.isOver = true
    lease.release()
    lease.session.target.operations?.ended(this.begun, exit)
  }
}

const interrupted = Exit.interrupt(FiberId.none)
