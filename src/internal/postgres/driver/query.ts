/** @internal */
import type { Begin } from "./begin.js"
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
  /** It is sent in front of the statement. */
  begin: Begin | undefined = undefined

  /** An object is copied by `pg`, property by property, which takes longer than all the rest of making a query. */
  constructor({ rowMode, text, types, values }: Query) {
    super(rowMode === undefined && types === undefined ? text : { text, rowMode, types }, values)
  }

  adoptText(text: string): void {
    this.text = text
  }

  /** Whether it goes by the extended protocol, as all that follows a BEGIN. */
  override requiresPreparation(): boolean {
    return this.begin !== undefined || super.requiresPreparation()
  }

  /** Called by `submit`, which sends all of it in one write. */
  override prepare(wire: Wire): void {
    this.begin?.write(wire)
    super.prepare(wire)
  }

  override handleCommandComplete(message: never, wire: Wire): void {
    if (this.begin?.isAwaited === true) this.begin.isDone = true
    else super.handleCommandComplete(message, wire)
  }

  handleRowDescription({ fields }: RowDescription): void {
    this._checkForMultirow()
    describe(this._result, fields)
  }

  /** Of a server's error, or what serialising a parameter threw. */
  override handleError(error: unknown, wire: Wire): void {
    if (this.begin?.isAwaited === true) this.begin.failure = error
    super.handleError(thrown(error), wire)
  }

  handleDataRow({ fields }: DataRow): void {
    // A server that is none may answer BEGIN with rows.
    if (this._canceledDueToError || this.begin?.isAwaited === true) return
    try {
      this._result.rows.push(this._result.parseRow(fields))
    } catch (error) {
      this._canceledDueToError = thrown(error)
    }
  }
}

/**
 * A BEGIN that is sent by itself. Where what comes behind it is on its way already, its failure `endsSession`: that must not
 * run outside the transaction.
 *
 * @internal
 */
export class BeginQuery extends StatementQuery {
  constructor(begin: Begin, private readonly options: { readonly endsSession: boolean } = { endsSession: false }) {
    super({ text: begin.text, values: [] })
    this.begin = begin
  }

  override requiresPreparation(): boolean {
    return true
  }

  /** Where another BEGIN had to go before it, it is nothing but its end. */
  override prepare(wire: Wire): void {
    this.begin?.write(wire)
    wire.sync()
  }

  override handleError(error: unknown, wire: Wire): void {
    if (this.options.endsSession) wire.stream.destroy()
    super.handleError(error, wire)
  }
}
