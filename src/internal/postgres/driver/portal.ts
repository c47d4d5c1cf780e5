/** @internal */
import { LeaseEnded } from "../../../PgError.js"
import { secondsNow } from "../../time/stopwatch.js"
import type { OwnQuery } from "./handOver.js"
import { Supplanted } from "./handOver.js"
import { inOnePiece } from "./onePiece.js"
import { PageSize } from "./pageSize.js"
import type { Callback, DataRow, Handlers, RowDescription, Wire } from "./pg.js"
import { newResult } from "./pg.js"
import { thrown } from "./rows.js"

type OnPage = (error: unknown, rows?: ReadonlyArray<unknown>) => void

let portals = 0

/**
 * A named portal that is read page by page. It is a query of `pg`. The message that ends the request for a page decides
 * what can be sent between two pages:
 *
 * - `Sync`: the server is ready after each page, so other statements of the transaction can run before the next one.
 *   Each page is a `client.query(portal)`, which answers with the rows.
 * - `Flush`: the session belongs to the portal until its end. Outside a transaction there is no other way, as a Sync
 *   ends the portal. There is one `client.query(portal)`, which answers at the end; `read` gives the pages.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 *
 * @internal
 */
export class Portal implements OwnQuery, Handlers {
  /** The server has it, and keeps it until it is closed. */
  isOpen = false
  /** The server has told the end of the rows. */
  isComplete = false
  /** The stream has ended: nothing reads from it any more. */
  isLeft = false
  private hasFailed = false
  callback: Callback | undefined = undefined
  /** Under this name `pg` gives it the client's type parsers. */
  readonly _result = newResult()
  private readonly portal = `effect_pgpool_${++portals}`
  /** The connection that it was sent on. */
  private wire: Wire | undefined = undefined
  /** The request in flight has its Sync: a second one would end the request of the next borrower. */
  private isSynced = false
  private onPage: OnPage | undefined = undefined
  /** An error that came while nothing read: the next read gives it. */
  private untold: { readonly error: unknown } | undefined = undefined
  /** When the page in flight was asked for, in seconds, and what has come of it. */
  private asked = 0
  private bytes = 0
  private rows: Array<unknown> = []
  private badRow: unknown = undefined
  private adopted: string | undefined = undefined

  constructor(
    readonly text: string,
    private readonly values: ReadonlyArray<unknown>,
    private readonly pageEnd: "Sync" | "Flush",
    private readonly pageSize = new PageSize()
  ) {}

  /** `text` itself stays: the text of the next page is made of it again, and would grow with each. */
  adoptText(text: string): void {
    this.adopted = text
  }

  get hasBegun(): boolean {
    return this.wire !== undefined
  }

  /** Neither a page can follow nor an error. */
  get isOver(): boolean {
    if (this.untold !== undefined) return false
    return this.isComplete || this.hasFailed || (this.pageEnd === "Flush" && this.isSynced)
  }

  submit(wire: Wire): null {
    inOnePiece(wire, () => {
      this.isSynced = false
      if (!this.hasBegun && !this.isLeft) this.open(wire)
      this.wire = wire
      this.request(wire)
    })
    return null
  }

  /** Gives the next page of a portal with Flush. The first one is asked for by `submit`. */
  read(onPage: OnPage): void {
    const { untold, wire } = this
    if (untold !== undefined) {
      this.untold = undefined
      return onPage(untold.error)
    }
    this.onPage = onPage
    if (wire !== undefined) inOnePiece(wire, () => this.request(wire))
  }

  /** The reader of a page was interrupted. That page is lost, so the stream can't end well any more. */
  abandon(): void {
    this.onPage = undefined
    this.hasFailed = true
  }

  /** Tells the reader that the stream has ended. What the server still sends is ignored. */
  leave(): void {
    this.isLeft = true
    this.isComplete = false
    this.rows = []
    if (this.wire !== undefined) this.sync(this.wire)
    this.tell(new LeaseEnded())
  }

  /** Told the answer to `client.query`: without a `submit` it was refused, or something else was sent in its place. */
  ended(error: unknown): void {
    if (!this.hasBegun) this.handleError(error ?? new Supplanted())
  }

  /** The query that closes it before its last row. */
  get closing(): Closing {
    return new Closing(this, this.portal)
  }

  private open(wire: Wire): void {
    wire.parse({ text: this.adopted ?? this.text })
    wire.bind({ portal: this.portal, values: this.values })
    wire.describe({ type: "P", name: this.portal })
  }

  private request(wire: Wire): void {
    if (this.isLeft) return this.sync(wire)
    this.asked = secondsNow()
    wire.execute({ portal: this.portal, rows: this.pageSize.rows })
    if (this.pageEnd === "Sync") this.sync(wire)
    else wire.flush()
  }

  private sync(wire: Wire): void {
    if (this.isSynced) return
    this.isSynced = true
    wire.sync()
  }

  handleRowDescription(message: RowDescription): void {
    this._result.addFields(message.fields)
  }

  handleDataRow(message: DataRow): void {
    if (this.isLeft) return
    this.bytes += message.length
    try {
      this.rows.push(this._result.parseRow(message.fields))
    } catch (error) {
      this.badRow ??= thrown(error)
    }
  }

  handlePortalSuspended(wire: Wire): void {
    this.isOpen = this.pageEnd === "Sync"
    // Then the page is told when the server is ready.
    if (this.isSynced) return
    if (this.badRow === undefined) this.tell(null, this.takeRows())
    else this.sync(wire)
  }

  handleCommandComplete(_message: unknown, wire: Wire): void {
    this.complete(wire)
  }

  handleEmptyQuery(wire: Wire): void {
    this.complete(wire)
  }

  private complete(wire: Wire): void {
    this.isOpen = false
    this.isComplete = !this.isLeft && !this.hasFailed
    this.sync(wire)
  }

  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFail("a stream can't be the source of a COPY")
    // The server ignores a Sync that comes while it waits for the data.
    if (this.isSynced) wire.sync()
  }

  handleCopyData(): void {}

  handleError(error: unknown): void {
    this.hasFailed = true
    this.isComplete = false
    if (this.wire !== undefined) this.sync(this.wire)
    this.answer(this.badRow ?? error)
  }

  handleReadyForQuery(): void {
    if (this.badRow !== undefined) return this.handleError(this.badRow)
    this.answer(null, this.takeRows())
  }

  private takeRows(): ReadonlyArray<unknown> {
    const { rows } = this
    this.rows = []
    this.pageSize.came(rows.length, this.bytes, 1000 * (secondsNow() - this.asked))
    this.bytes = 0
    return rows
  }

  /** `pg` gives a query its callback only if it has none. */
  private answer(error: unknown, rows?: ReadonlyArray<unknown>): void {
    const { callback } = this
    this.callback = undefined
    callback?.(error, rows)
    this.tell(error, rows)
  }

  private tell(error: unknown, rows?: ReadonlyArray<unknown>): void {
    const { onPage } = this
    this.onPage = undefined
    if (onPage !== undefined) onPage(error, rows)
    else if (error && this.pageEnd === "Flush") this.untold = { error }
  }
}

class Closing implements OwnQuery {
  /** What instrumentation shows of it. On the wire it is a message of its own. */
  readonly text = "CLOSE"
  callback: Callback | undefined = undefined

  constructor(private readonly portal: Portal, private readonly name: string) {}

  adoptText(): void {}

  submit(wire: Wire): null {
    this.portal.isOpen = false
    wire.close({ type: "P", name: this.name })
    wire.sync()
    return null
  }

  handleError(error: unknown): void {
    this.callback?.(error)
  }

  handleReadyForQuery(): void {
    this.callback?.(null)
  }
}
