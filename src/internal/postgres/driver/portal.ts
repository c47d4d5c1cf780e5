/** @internal */
import { LeaseEnded } from "../../../PgError.js"
import type { DataRow, RowDescription, Wire } from "./pg.js"
import { newResult } from "./pg.js"
import { thrown } from "./rows.js"

/**
 * Sends what is written on the spot, and until the fiber at work waits for something, in one piece. That is one system
 * call, and of a session that was killed the server's last words can still be read: a second write would fail, and
 * destroy the socket with what it has received.
 *
 * @internal
 */
export const inOnePiece = ({ stream }: Pick<Wire, "stream">, write: () => void): void => {
  stream.cork()
  process.nextTick(() => stream.uncork())
  write()
}

let portals = 0

/**
 * A named portal that is read page by page. Each page is a request of its own, ended by a Sync, so that other
 * statements of the transaction can run between two pages; `pg-cursor` keeps the session busy until the last row.
 * It is a query of `pg`: each `client.query(portal)` answers with one page of rows.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 *
 * @internal
 */
export class Portal {
  /** Whether the server has it. */
  isOpen = false
  /** The server has told the end of its rows. */
  isComplete = false
  /** Nobody is to read from it any more. */
  isLeft = false
  hasFailed = false
  callback: ((error: unknown, rows?: unknown) => void) | undefined = undefined
  /** Under this name `pg` gives it the client's type parsers. */
  readonly _result = newResult()
  private readonly portal = `effect_pgpool_${++portals}`
  private isSent = false
  private rows: Array<unknown> = []
  private badRow: unknown = undefined
  private adopted: string | undefined = undefined

  constructor(
    readonly text: string,
    private readonly values: ReadonlyArray<unknown>,
    private readonly pageSize: number
  ) {}

  /** The next page's is made of `text` again: it would grow with each. */
  adoptText(text: string): void {
    this.adopted = text
  }

  submit(wire: Wire): null {
    inOnePiece(wire, () => {
      if (!this.isSent) {
        this.isSent = true
        wire.parse({ text: this.adopted ?? this.text })
        wire.bind({ portal: this.portal, values: this.values })
        wire.describe({ type: "P", name: this.portal })
      }
      wire.execute({ portal: this.portal, rows: this.pageSize })
      wire.sync()
    })
    return null
  }

  handleRowDescription(message: RowDescription): void {
    this._result.addFields(message.fields)
  }

  handleDataRow(message: DataRow): void {
    try {
      this.rows.push(this._result.parseRow(message.fields))
    } catch (error) {
      this.badRow ??= thrown(error)
    }
  }

  handlePortalSuspended(): void {
    this.isOpen = true
  }

  handleCommandComplete(): void {
    this.isOpen = false
    this.isComplete = true
  }

  handleEmptyQuery(): void {
    this.isComplete = true
  }

  handleCopyInResponse(wire: Wire): void {
    wire.sendCopyFail("a stream can't be the source of a COPY")
    // The server has ignored the first one.
    wire.sync()
  }

  handleCopyData(): void {}

  handleError(error: unknown): void {
    this.hasFailed = true
    this.answer(error)
  }

  handleReadyForQuery(): void {
    if (this.badRow !== undefined) return this.handleError(this.badRow)
    if (this.isLeft) return this.handleError(new LeaseEnded())
    const rows = this.rows
    this.rows = []
    this.answer(null, rows)
  }

  /** `pg` gives each page's callback only to a query that has none. */
  private answer(error: unknown, rows?: ReadonlyArray<unknown>): void {
    const callback = this.callback
    this.callback = undefined
    callback?.(error, rows)
  }

  /** The query that ends it before its last row. */
  get closing(): Closing {
    return new Closing(this, this.portal)
  }
}

class Closing {
  /** For whoever looks at what is sent: on the wire it is a message of its own. */
  readonly text = "CLOSE"
  callback: ((error: unknown) => void) | undefined = undefined

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
