/** @internal */
import type { FieldDef } from "pg"
import Pg from "pg"
import type { Result } from "./rows.js"
import { describe, thrown } from "./rows.js"

/** One statement, as `pg` takes it. @internal */
export interface Query {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
  readonly rowMode?: "array"
  /** Instead of the client's type parsers. */
  readonly types?: { readonly getTypeParser: (oid: number, format: string) => (value: string) => unknown }
  /** Never to be prepared. */
  readonly isUnprepared?: boolean
}

/** `pg`'s query, with the parts that are not in its types. */
const Base = Pg.Query as unknown as new(text: string | object, values: ReadonlyArray<unknown>) => {
  text: string
  callback: ((error: unknown, result?: unknown) => void) | undefined
  /** The result at hand: a text may have several statements. */
  readonly _result: Result
  /** What a type parser threw. It is told instead of the rows. */
  _canceledDueToError: unknown
  _checkForMultirow(): void
  handleError(error: unknown, wire: unknown): void
}

/**
 * The query of `pg` for a statement, but that its results need not be described anew each time, and that it does not
 * tell of each row in an event.
 *
 * @internal
 */
export class StatementQuery extends Base {
  /** An object is copied by `pg`, property by property, which takes longer than all the rest of making a query. */
  constructor({ rowMode, text, types, values }: Query) {
    super(rowMode === undefined && types === undefined ? text : { text, rowMode, types }, values)
  }

  adoptText(text: string): void {
    this.text = text
  }

  handleRowDescription({ fields }: { readonly fields: Array<FieldDef> }): void {
    this._checkForMultirow()
    describe(this._result, fields)
  }

  /** Of a server's error, or what serialising a parameter threw. */
  override handleError(error: unknown, wire: unknown): void {
    super.handleError(thrown(error), wire)
  }

  handleDataRow({ fields }: { readonly fields: ReadonlyArray<unknown> }): void {
    if (this._canceledDueToError) return
    try {
      this._result.rows.push(this._result.parseRow(fields))
    } catch (error) {
      this._canceledDueToError = thrown(error)
    }
  }
}
