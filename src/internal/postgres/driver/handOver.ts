/** @internal */
import type { Begin } from "./begin.js"
import type { Callback, Client, Queued, Result } from "./pg.js"
import { BeginQuery } from "./query.js"
import { thrown } from "./rows.js"

/** A query of this package, with the members that `pg` uses. @internal */
export interface OwnQuery {
  readonly text: string
  callback?: Callback | undefined
  /** It is sent in front of the query, in the same request. */
  begin?: Begin | undefined
  /** `pg` sets the client's type parsers on it. */
  readonly _result?: Pick<Result, "_types">
  /**
   * Replaces the text by one with a comment in it, unless the query is sent already or the server knows it by a name.
   */
  readonly adoptText: (text: string) => void
}

/**
 * Another query was sent and answered in place of this one. The statement may have run, and its result has another
 * shape.
 *
 * @internal
 */
export class Supplanted extends Error {
  override readonly name = "Supplanted"
  constructor() {
    super("What instruments pg's Client.query sent a copy of a query, and later: switch off what changes queries there")
  }
}

/**
 * Hands queries to `pg` through any wrappers that instrumentation has put around its `Client.query`. A wrapper may send
 * a copy of the query with a comment in its text. The copy is a query of `pg`, which knows nothing of pages, names, or
 * the shape of our rows. So the copy stays in the queue until all wrappers have returned. Then our query takes the
 * place of the copy, with the copy's text and callback. Any other query that a wrapper sends goes in front of ours, as
 * the wrapper intended.
 *
 * @internal
 */
export class HandOver {
  /** The query that is being handed over, and the last entry of the queue before that. */
  private query: string | OwnQuery | undefined = undefined
  private before: Queued | undefined = undefined
  /** Queries that were not in the queue after the hand-over: the query or a copy may come later, or it was refused. */
  private readonly missing = new WeakSet<object>()
  private isAnyMissing = false

  constructor(private readonly client: Client) {
    const pulse = client._pulseQueryQueue
    client._pulseQueryQueue = () => {
      if (this.isHeld) return
      if (this.isAnyMissing) { for (const query of client._queryQueue) this.missing.delete(query) }
      pulse.call(client)
    }
  }

  send(query: string | OwnQuery, callback: Callback): void {
    const queries = this.client._queryQueue
    this.before = queries.at(-1)
    this.query = query
    try {
      this.client.query(query, callback)
      if (typeof query === "object") this.claim(query)
    } catch (error) {
      queries.splice(this.start)
      // It may still come later: then nobody waits for it.
      if (typeof query === "object") query.begin = undefined
      return callback(thrown(error))
    } finally {
      this.query = undefined
      this.before = undefined
    }
    this.client._pulseQueryQueue()
  }

  /** Whether the answer that a query got belongs to another query. */
  isSupplanted(query: string | OwnQuery): boolean {
    return this.isAnyMissing && typeof query === "object" && this.missing.delete(query)
  }

  /** Nothing may pass a BEGIN. */
  private get isHeld(): boolean {
    const { query } = this
    if (query === undefined) return false
    return (typeof query === "object" && query.begin !== undefined) || this.place(query) >= 0
  }

  /** The place in the queue where the entries of this hand-over begin. */
  private get start(): number {
    return this.before === undefined ? 0 : this.client._queryQueue.indexOf(this.before) + 1
  }

  /**
   * The place of a query in the queue, or that of its copy. Wrappers may have put other queries in front of it and
   * behind it.
   */
  private place(query: string | OwnQuery): number {
    const queries = this.client._queryQueue
    const itself = queries.indexOf(query as Queued)
    if (itself >= 0) return itself
    const text = typeof query === "string" ? query : query.text
    const since = queries.slice(this.start)
    const copy = since.reverse().find((other) => typeof other.text === "string" && other.text.includes(text))
    return copy === undefined ? -1 : queries.indexOf(copy)
  }

  /** Lets BEGIN go before what wrappers have sent in front of its query, or in place of it. */
  private beginAlone(query: OwnQuery, begin: Begin): void {
    query.begin = undefined
    const alone: Queued = new BeginQuery(begin, { endsSession: true })
    alone.callback = () => {}
    this.client._queryQueue.splice(this.start, 0, alone)
  }

  private claim(query: OwnQuery): void {
    const queries = this.client._queryQueue
    const place = this.place(query)
    const copy = queries[place]
    if (query.begin !== undefined && place !== this.start) this.beginAlone(query, query.begin)
    if (place < 0) {
      this.isAnyMissing = true
      this.missing.add(query)
      return
    }
    if (copy === query) return
    if (typeof copy.text === "string") query.adoptText(copy.text)
    if (query._result !== undefined) query._result._types ??= this.client._types
    query.callback = copy.callback
    queries[queries.indexOf(copy)] = query
  }
}
