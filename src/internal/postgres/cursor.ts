/** @internal */
import type { Connection } from "pg"
import Cursor from "pg-cursor"
import { inOnePiece } from "./portal.js"
import { thrown } from "./rows.js"

/** How `pg` calls a query, and `pg-cursor` itself. */
type Handler =
  | "submit"
  | "_ifNoData"
  | "handleRowDescription"
  | "handleDataRow"
  | "handlePortalSuspended"
  | "handleCommandComplete"
  | "handleEmptyQuery"
  | "handleError"

const base = Cursor.prototype as unknown as { readonly [handler in Handler]: (message?: unknown) => void }

/**
 * `pg-cursor`, without three things that happen to it.
 *
 * - What a type parser of the user's throws, or a COPY, would come out of the socket's event and end the process.
 * - Closed before its first answer, it takes what the server had still sent for a sign of life and sends a second Sync:
 *   the answer to that one would end the next borrower's query.
 * - It never tells who waits for the last page that the connection was lost just before that.
 *
 * @internal
 */
export class SafeCursor extends Cursor {
  /** What a type parser threw. */
  badRow: unknown = undefined
  private isClosed = false

  override submit = (connection: Connection): void => inOnePiece(connection, () => base.submit.call(this, connection))

  /** Ends the portal. Nobody is told: the session's next query waits for it. */
  leave(): void {
    this.close(() => {})
    this.isClosed = true
  }

  private handle(handler: Handler, message?: unknown): void {
    if (!this.isClosed) base[handler].call(this, message)
  }

  _ifNoData(): void {
    this.handle("_ifNoData")
  }

  handleRowDescription(message: unknown): void {
    this.handle("handleRowDescription", message)
  }

  handleDataRow(message: unknown): void {
    try {
      this.handle("handleDataRow", message)
    } catch (error) {
      this.badRow ??= thrown(error)
    }
  }

  handlePortalSuspended(): void {
    this.handle("handlePortalSuspended")
  }

  handleCommandComplete(message: unknown): void {
    this.handle("handleCommandComplete", message)
  }

  handleEmptyQuery(): void {
    this.handle("handleEmptyQuery")
  }

  handleError(error: unknown): void {
    const { _cb: pending, state } = this as unknown as { _cb: ((error: unknown) => void) | null; state: string }
    this.handle("handleError", error)
    // When all rows are there it ignores errors; but who waits for the last page hears of it only after ReadyForQuery.
    if (state === "done") pending?.(error)
  }

  handleCopyInResponse(wire: { readonly sendCopyFail: (why: string) => void }): void {
    wire.sendCopyFail("a stream can't be the source of a COPY")
  }

  handleCopyData(): void {}
}
