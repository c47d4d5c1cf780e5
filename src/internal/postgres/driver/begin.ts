/** @internal */
import type { Wire } from "./pg.js"

/**
 * The BEGIN of a transaction on one session. It goes in front of the first statement, in the same request: that saves a way
 * to the server and back. If the server refuses it, it skips the statement.
 *
 * The idea is that of pgjdbc and Npgsql.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 *
 * @internal
 */
export class Begin {
  isSent = false
  /** The server has begun the transaction. */
  isDone = false
  /** What has failed before the server had begun it. */
  failure: unknown = undefined

  constructor(readonly text: string) {}

  /** Whether it was sent, and not done: its answer is still to come, or it has failed. */
  get isAwaited(): boolean {
    return this.isSent && !this.isDone
  }

  /** Writes it. What follows it in the same request is to bring the Sync. */
  write(wire: Wire): void {
    this.isSent = true
    wire.parse({ text: this.text })
    wire.bind({ values: [] })
    wire.execute({})
  }
}
