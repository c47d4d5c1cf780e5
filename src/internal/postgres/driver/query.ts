/** @internal */
import type { DataRow, RowDescription, TypeParsers, Wire } from "./pg.js"
import { BaseQuery } from "./pg.js"
import { describe, thrown } from "./rows.js"

/** One statement, as `pg` takes it. @internal */
export interface Query {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
  readonly rowMode?: "array"
  /** Instead of the client's type parsers. */
  readonly types?: TypeParsers
  /** Never to be prepared. */
  readonly isUnprepared?: boolean
}

/**
 * The query of `pg` for a statement, but that its results need not be described anew each time, and that it does not
 * tell of each row in an event.
 *
 * @internal
 */
export class StatementQuery extends BaseQuery {
  /** An object is copied by `pg`, property by property, which takes longer than all the rest of making a query. */
  constructor({ rowMode, text, types, values }: Query) {
    super(rowMode === undefined && types === undefined ? text : { text, rowMode, types }, values)
  }

  adoptText(text: string): void {
    this.text = text
  }

  handleRowDescription({ fields }: RowDescription): void {
    this._checkForMultirow()
    describe(this._result, fields)
  }

  /** Of a server's error, or what serialising a parameter threw. */
  override handleError(error: unknown, wire: Wire): void {
    super.handleError(thrown(error), wire)
  }

  handleDataRow({ fields }: DataRow): void {
    if (this._canceledDueToError) return
    try {
      this._result.rows.push(this._result.parseRow(fields))
    } catch (error) {
      this._canceledDueToError = thrown(error)
    }
  }
}
