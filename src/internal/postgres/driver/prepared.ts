/** @internal */
import { randomBytes } from "node:crypto"
import { isServerError } from "../errors/codes.js"
import type { Client, Wire } from "./pg.js"
import { prepareValues } from "./pg.js"
import type { Query } from "./query.js"
import { StatementQuery } from "./query.js"

/**
 * The prepared statements of one session: the server parses each text once and knows it by a name. No name is ever used
 * again, so whatever becomes of a statement, forgetting it is safe: its next use has another name, and the old one is
 * closed in the same write, in front of that. So the server never has more than `limit`.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 *
 * @internal
 */
export class PreparedStatements {
  /** By text, the least recently used first. */
  private readonly names = new Map<string, string>()
  private forgotten: Array<string> = []
  // A pooler may run sessions of several clients on one of the server's: no other may mean something else by our names.
  private readonly prefix = `effect_pgpool_${randomBytes(6).toString("hex")}_`
  private count = 0
  /** Of the statement that is being answered: whether its Bind went well. */
  private isBound = false

  constructor(client: Client, private readonly limit: number) {
    client.connection.on("bindComplete", () => this.isBound = true)
    client.connection.on("readyForQuery", () => this.isBound = false)
    // Heard here it is also what users send by `PgConnection.pg`. Which one a DEALLOCATE was for, it doesn't say.
    client.connection.on("commandComplete", ({ text }: { readonly text: string }) => {
      if (text === "DISCARD ALL" || text.startsWith("DEALLOCATE")) this.forgetAll()
    })
  }

  /** Sees to it that the server knows a statement by the name that it gives. */
  prepare(wire: Wire, text: string): { readonly name: string; readonly isNew: boolean } {
    for (const name of this.forgotten.splice(0)) wire.close({ type: "S", name })
    const known = this.names.get(text)
    if (known !== undefined) {
      this.names.delete(text)
      this.names.set(text, known)
      return { name: known, isNew: false }
    }
    for (const [oldest, name] of this.names) {
      if (this.names.size < this.limit) break
      this.names.delete(oldest)
      wire.close({ type: "S", name })
    }
    const name = `${this.prefix}${++this.count}`
    this.names.set(text, name)
    wire.parse({ name, text })
    return { name, isNew: true }
  }

  /** Says whether it failed because it had been prepared before. */
  failed(text: string, { isNew, name }: { readonly name: string; readonly isNew: boolean }, error: unknown): boolean {
    if (this.isBound || !isServerError(error)) return false
    const isKnown = this.names.get(text) === name
    // Somebody has discarded it unseen, and surely not only this one. If it is not known, only its Parse had failed.
    if (isKnown && !isNew && error.code === noSuchStatement) this.forgetAll()
    else if (isKnown) this.forget(text, name)
    return !isNew && heals.test(error.code)
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
 * What parsing it again may heal, when it comes before the statement is bound: there is no such statement; "cached plan
 * must not change result type"; and what comes of parameter types of before a schema change, such as a number that is
 * out of range only for what the column was (22003), or an operator that doesn't exist (42883).
 */
const heals = /^(26000|0A000|22|42)/

/**
 * Unlike a query of `pg` that has a name, it leaves that out of `pg`'s own books, which know of no end of one.
 *
 * @internal
 */
export class NamedQuery extends StatementQuery {
  /** It failed because of its name: without one it may do better. */
  isStale = false
  private prepared: ReturnType<PreparedStatements["prepare"]> | undefined = undefined

  constructor(private readonly statements: PreparedStatements, readonly statement: Query) {
    super(statement)
  }

  /** A comment of the moment would make each execution a statement of its own. */
  override adoptText(): void {}

  /** Called by `submit`, which sends all of it in one piece. */
  override prepare(wire: Wire): void {
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
    if (this.prepared !== undefined) {
      this.isStale = this.statements.failed(this.statement.text, this.prepared, error)
    }
    super.handleError(error, wire)
  }
}
