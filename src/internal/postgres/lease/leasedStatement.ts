/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { secondsNow } from "../../time/stopwatch.js"
import type { Operations } from "../config/operations.js"
import type { Query } from "../driver/query.js"
import { alone } from "../session/flight.js"
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
  private request: Request<OneOrMany> | undefined = undefined
  private isOver = false

  constructor(
    private readonly lease: Lease,
    private readonly read: (result: OneOrMany) => A,
    private readonly resume: (exit: Exit.Exit<A, SqlError>) => void,
    private readonly operations: Operations | undefined
  ) {
    this.begun = operations === undefined ? 0 : secondsNow()
  }

  /** The lease has the turn for it. */
  send(query: Query): void {
    const { lease } = this
    try {
      this.request = lease.session.send(lease.prepared(query), alone, (answer) => this.answered(answer), lease)
    } catch (defect) {
      // A query that is none: without types anything may come as one.
      this.answered(Exit.die(defect))
    }
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
    this.request?.abandon()
    if (!this.isOver) this.end(interrupted)
  }

  private end(exit: Exit.Exit<unknown, SqlError>): void {
    this.isOver = true
    this.lease.release()
    this.operations?.ended(this.begun, exit)
  }
}

const interrupted = Exit.interrupt(FiberId.none)
