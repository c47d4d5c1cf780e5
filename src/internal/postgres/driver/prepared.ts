/** @internal */
import { randomBytes } from "node:crypto"
import { isServerError } from "../errors/codes.js"
import type { Client, Wire } from "./pg.js"
import { prepareValues } from "./pg.js"
import type { Query } from "./query.js"
import { StatementQuery } from "./query.js"

/** A statement that is prepared, or about to be, and the names that are closed in the same request. */
interface Prepared {
  readonly name: string
  readonly isNew: boolean
  readonly closed: ReadonlyArray<string>
}

/**
 * The prepared statements of one session. The server parses each text once and knows it by a name. A name is never used
 * again, so it is always safe to forget a statement: its next use has another name, and the old name is closed in the
 * same write, before the new one is prepared. So the server never has more than `limit` statements.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 *
 * @internal
 */
export class PreparedStatements {
  /** The names by text, the least recently used first. */
  private readonly names = new Map<string, string>()
  private forgotten: Array<string> = []
  // A pooler may run sessions of several clients on one server session: no other client may use our names for other
  // statements.
  private readonly prefix = `effect_pgpool_${randomBytes(6).toString("hex")}_`
  private count = 0
  /** Whether the Bind of the statement that is being answered succeeded. */
  private isBound = false

  constructor(client: Client, private readonly limit: number) {
    client.connection.on("bindComplete", () => this.isBound = true)
    client.connection.on("readyForQuery", () => this.isBound = false)
    // This listener also sees statements that users send by `PgConnection.pg`. The server's message does not say which
    // statement a DEALLOCATE was for.
    client.connection.on("commandComplete", ({ text }: { readonly text: string }) => {
      // It was bound, too, in front of the statement.
      if (text === "BEGIN") this.isBound = false
      if (text === "DISCARD ALL" || text.startsWith("DEALLOCATE")) this.forgetAll()
    })
  }

  /** Makes sure that the server knows a statement by the name that is returned. */
  prepare(wire: Wire, text: string): Prepared {
    const closed = this.forgotten.splice(0)
    const known = this.names.get(text)
    if (known === undefined) this.makeRoom(closed)
    else this.names.delete(text)
    for (const name of closed) wire.close({ type: "S", name })
    const name = known ?? `${this.prefix}${++this.count}`
    this.names.set(text, name)
    if (known === undefined) wire.parse({ name, text })
    return { name, isNew: known === undefined, closed }
  }

  private makeRoom(closed: Array<string>): void {
    for (const [oldest, name] of this.names) {
      if (this.names.size < this.limit) break
      this.names.delete(oldest)
      closed.push(name)
    }
  }

  /** Returns whether the statement failed because it had been prepared before. */
  failed(text: string, { isNew, name }: Prepared, error: unknown): boolean {
    if (this.isBound || !isServerError(error)) return false
    const isKnown = this.names.get(text) === name
    // The statement was discarded unnoticed, and surely others with it. If the name is not known, only its Parse had
    // failed.
    if (isKnown && !isNew && error.code === noSuchStatement) this.forgetAll()
    else if (isKnown) this.forget(text, name)
    return !isNew && heals.test(error.code)
  }

  /** The server has not come to the statement: what was in front of it has failed. */
  skipped(text: string, { closed, isNew, name }: Prepared): void {
    this.forgotten = this.forgotten.concat(closed)
    if (isNew && this.names.get(text) === name) this.forget(text, name)
  }

  private forget(text: string, name: string): void {
    this.names.delete(text)
    this.forgotten.push(name)
  }

  private forgetAll(): void {
    for (const [text, name] of this.names) this.forget(text, name)
  }
}

const noSuchStatement = "26000"

/**
 * The errors that parsing a statement again may heal, if they come before the statement is bound: the statement does
 * not exist; "cached plan must not change result type"; and errors of parameter types from before a schema change, such
 * as a number that is out of range only for the column's old type (22003), or an operator that does not exist (42883).
 */
const heals = /^(26000|0A000|22|42)/

/**
 * A query with a name of ours. `pg` does not record this name, unlike the name of a query of its own: `pg` would never
 * forget it.
 *
 * @internal
 */
export class NamedQuery extends StatementQuery {
  /** The query failed because of its name: without a name it may succeed. */
  isStale = false
  private prepared: Prepared | undefined = undefined

  constructor(private readonly statements: PreparedStatements, readonly statement: Query) {
    super(statement)
  }

  /** A comment that changes each time would make each execution a new statement. */
  override adoptText(): void {}

  /** Called by `submit`, which sends all these messages in one write. */
  override prepare(wire: Wire): void {
    this.begin?.write(wire)
    try {
      const values = prepareValues(this.statement.values)
      this.prepared = this.statements.prepare(wire, this.statement.text)
      wire.bind({ statement: this.prepared.name, values })
      wire.describe({ type: "P", name: "" })
      wire.execute({})
    } catch (error) {
      this.handleError(error, wire)
    }
    wire.sync()
  }

  override handleError(error: unknown, wire: Wire): void {
    const { begin, prepared, statement: { text }, statements } = this
    if (prepared !== undefined) {
      if (begin?.isAwaited === true) statements.skipped(text, prepared)
      else this.isStale = statements.failed(text, prepared, error)
    }
    super.handleError(error, wire)
  }
}
