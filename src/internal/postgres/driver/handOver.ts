/** @internal */
import type { Callback, Client, Queued, Result } from "./pg.js"
import { thrown } from "./rows.js"

/** A query of ours, as `pg` calls it. @internal */
export interface OwnQuery {
  readonly text: string
  callback?: Callback | undefined
  /** `pg` gives it the client's type parsers. */
  readonly _result?: Pick<Result, "_types">
  /** Takes a text with a comment in it: unless it is sent already, or the server knows it by a name. */
  readonly adoptText: (text: string) => void
}

/** Something else was sent, and answered: the statement may have run, and its result has another shape. @internal */
export class Supplanted extends Error {
  override readonly name = "Supplanted"
  constructor() {
    super("What instruments pg's Client.query sent a copy of a query, and later: switch off what changes queries there")
  }
}

/**
 * Hands queries to `pg` past whatever others have put in front of its `Client.query`. Instrumentation may send a copy
 * with a comment in its text: that is a query of `pg`'s, which knows nothing of pages, names, or the shape of our rows.
 * So it does not leave the queue until all of them are done; then our query takes the place of its copy, with the text
 * and the callback that were made for that. What else they send goes in front of it, as they wanted.
 *
 * @internal
 */
export class HandOver {
  /** What is being handed over, and what was the last of the queue before that. */
  private query: string | OwnQuery | undefined = undefined
  private before: Queued | undefined = undefined
  /** Not in the queue when it should have been: it may come later, or a copy of it, or was refused. */
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
      return callback(thrown(error))
    } finally {
      this.query = undefined
      this.before = undefined
    }
    this.client._pulseQueryQueue()
  }

  /** Whether the answer to a query is that to something else. */
  isSupplanted(query: string | OwnQuery): boolean {
    return this.isAnyMissing && typeof query === "object" && this.missing.delete(query)
  }

  private get isHeld(): boolean {
    return this.query !== undefined && this.place(this.query) >= 0
  }

  /** Where in the queue what has been put there since begins. */
  private get start(): number {
    return this.before === undefined ? 0 : this.client._queryQueue.indexOf(this.before) + 1
  }

  /** Where in the queue a query is, or what was made of it. Others may have been put in front of it, and behind it. */
  private place(query: string | OwnQuery): number {
    const queries = this.client._queryQueue
    const itself = queries.indexOf(query as Queued)
    if (itself >= 0) return itself
    const text = typeof query === "string" ? query : query.text
    const since = queries.slice(this.start)
    const copy = since.reverse().find((other) => typeof other.text === "string" && other.text.includes(text))
    return copy === undefined ? -1 : queries.indexOf(copy)
  }

  private claim(query: OwnQuery): void {
    const queries = this.client._queryQueue
    const place = this.place(query)
    if (place < 0) {
      this.isAnyMissing = true
      this.missing.add(query)
      return
    }
    const copy = queries[place]
    if (copy === query) return
    if (typeof copy.text === "string") query.adoptText(copy.text)
    if (query._result !== undefined) query._result._types ??= this.client._types
    query.callback = copy.callback
    queries[place] = query
  }
}
