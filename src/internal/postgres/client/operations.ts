/** @internal */
import * as Exit from "effect/Exit"
import { secondsNow } from "../../time/stopwatch.js"
import type { Instruments, Note } from "../../watch/instruments.js"
import type { Operations } from "../config/operations.js"
import { errorTypeOf, other } from "../errors/errorType.js"

/** By OpenTelemetry's semantic conventions for database clients, 1.44. */
const duration = {
  name: "db.client.operation.duration",
  unit: "s",
  description: "How long statements took, the wait for a connection included"
}

/** Those that the conventions ask for, in seconds. */
const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/** A function of the database may fail with any SQLSTATE. The registry of metrics forgets none. */
const mostTypes = 100

/**
 * How long statements take: a metric for those that go well, and one for each type of error.
 *
 * @internal
 */
export class OperationMetrics implements Operations {
  private readonly succeeded: Note
  private readonly failed = new Map<string, Note>()

  constructor(private readonly instruments: Instruments) {
    this.succeeded = instruments.histogram(duration, bounds)
  }

  ended(begun: number, exit: Exit.Exit<unknown, unknown>): void {
    const note = Exit.isSuccess(exit) ? this.succeeded : this.failedBy(exit)
    note(secondsNow() - begun)
  }

  private failedBy({ cause }: Exit.Failure<unknown, unknown>): Note {
    const { errorType, statusCode } = errorTypeOf(cause)
    return this.failed.get(errorType) ?? (
      this.failed.size < mostTypes ? this.add(errorType, statusCode) : this.failed.get(other) ?? this.add(other)
    )
  }

  private add(errorType: string, statusCode?: string): Note {
    const code: Record<string, string> = statusCode === undefined ? {} : { "db.response.status_code": statusCode }
    const note = this.instruments.with({ ...code, "error.type": errorType }).histogram(duration, bounds)
    this.failed.set(errorType, note)
    return note
  }
}
