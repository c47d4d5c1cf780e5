/** @internal */
import type { Connection } from "pg"
import Cursor from "pg-cursor"
import { LeaseEnded } from "../../../PgError.js"
import { Supplanted } from "../driver/handOver.js"
import { inOnePiece } from "../driver/portal.js"
import { thrown } from "../driver/rows.js"

/** How `pg` calls a query, and `pg-cursor` itself. */
type Handler =
  | "submit"
  | "_ifNoData"
  | "handleRowDescription"
  | "handleDataRow"
  | "handlePortalSuspended"
  | "handleCommandComplete"
  | "handleEmptyQuery"
  | "handleReadyForQuery"
  | "handleError"

type Callback = (error: unknown) => void

const base = Cursor.prototype as unknown as { readonly [handler in Handler]: (message?: unknown) => void }

/** In its types `submit` is a property: a copy of a cursor would have it, and nothing to read an answer with. */
const Base = Cursor as unknown as new(text: string, values: Array<unknown>) =>
  & Omit<Cursor, "submit">
  & { text: string; readonly state: string }

/**
 * `pg-cursor`, without some things that happen to it.
 *
 * - What a type parser of the user's throws, or a COPY, would come out of the socket's event and end the process.
 * - Closed before its first answer, it takes what the server had still sent for a sign of life and sends a second Sync:
 *   the answer to that one would end the next borrower's query.
 * - It never tells who waits for the last page that the connection was lost just before that.
 * - Nor does it tell the end of the rows from any other reason for which there are no more.
 *
 * @internal
 */
export class SafeCursor extends Base {
  /** What a type parser threw. */
  badRow: unknown = undefined
  /** Told once, when all is over: who instruments `pg` waits for that. */
  callback: ((error: unknown) => void) | undefined = undefined
  /** The server has told the end of its rows. */
  isComplete = false
  /** Nobody is to read from it any more. */
  isLeft = false
  private isEmpty = false

  adoptText(text: string): void {
    this.text = text
  }

  submit(connection: Connection): void {
    inOnePiece(connection, () => base.submit.call(this, connection))
  }

  /** It is over. If it never began, it was refused, or something else was sent for it. */
  ended(error: unknown): void {
    if (this.state === "initialized") this.handleError(error ?? new Supplanted())
  }

  /** Ends the portal. Only who waits for a page is told: the session's next query waits for the end. */
  leave(): void {
    this.close(() => {})
    this.isLeft = true
    const { pending } = this
    this.pending = null
    pending?.(new LeaseEnded())
  }

  private handle(handler: Handler, message?: unknown): void {
    if (!this.isLeft) base[handler].call(this, message)
  }

  private get pending(): Callback | null {
    return (this as unknown as { readonly _cb: Callback | null })._cb
  }

  private set pending(callback: Callback | null) {
    ;(this as unknown as { _cb: Callback | null })._cb = callback
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
    this.isComplete = !this.isLeft
    this.handle("handleCommandComplete", message)
  }

  handleEmptyQuery(): void {
    this.isComplete = !this.isLeft
    // It sends a Sync each time.
    if (!this.isEmpty) this.handle("handleEmptyQuery")
    this.isEmpty = true
  }

  handleError(error: unknown): void {
    const { pending, state } = this
    this.handle("handleError", error)
    // When all rows are there it ignores errors; but who waits for the last page hears of it only after ReadyForQuery.
    if (state === "done") pending?.(error)
    this.answer(error)
  }

  handleReadyForQuery(): void {
    base.handleReadyForQuery.call(this)
    this.answer(null)
  }

  private answer(error: unknown): void {
    const { callback } = this
    this.callback = undefined
    callback?.(error)
  }

  handleCopyInResponse(wire: { readonly sendCopyFail: (why: string) => void }): void {
    wire.sendCopyFail("a stream can't be the source of a COPY")
  }

  handleCopyData(): void {}
}
