/** @internal */
import type { Client } from "./pgClient.js"
import { thrown } from "./rows.js"

type Callback = (error: unknown, result?: unknown) => void

/** A query of ours, as `pg` calls it. @internal */
export interface OwnQuery {
  readonly text: string
  callback?: Callback | undefined
  /** `pg` gives it the client's type parsers. */
  readonly _result?: { _types: unknown }
  /** Takes a text with a comment in it: unless it is sent already, or the server knows it by a name. */
  readonly adoptText: (text: string) => void
}

/** What is in `pg`'s queue: a query of ours, or one that `pg` has made. */
interface Queued {
  readonly text?: unknown
  callback?: Callback | undefined
}

/** `pg`'s client, with its own parts that sending a query goes through. */
interface Queue {
  readonly _types: unknown
  readonly _queryQueue: Array<Queued>
  _pulseQueryQueue: () => void
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
  private readonly queue: Queue
  /** What is being handed over. */
  private query: string | OwnQuery | undefined = undefined
  /** Not in the queue when it should have been: it may come later, or a copy of it, or was refused. */
  private readonly missing = new WeakSet<object>()
  private isAnyMissing = false

  constructor(private readonly client: Client) {
    this.queue = client as unknown as Queue
    const pulse = this.queue._pulseQueryQueue
    this.queue._pulseQueryQueue = () => {
      if (this.isHeld) return
      if (this.isAnyMissing) { for (const query of this.queue._queryQueue) this.missing.delete(query) }
      pulse.call(client)
    }
  }

  send(query: string | OwnQuery, callback: Callback): void {
    const queries = this.queue._queryQueue
    const before = queries.at(-1)
    this.query = query
    try {
      this.client.query(query, callback)
    } catch (error) {
      queries.splice(before === undefined ? 0 : queries.indexOf(before) + 1)
      return callback(thrown(error))
    } finally {
      this.query = undefined
    }
    if (typeof query === "object") this.claim(query, before)
    this.queue._pulseQueryQueue()
  }

  /** Whether the answer to a query is that to something else. */
  isSupplanted(query: string | OwnQuery): boolean {
    return this.isAnyMissing && typeof query === "object" && this.missing.delete(query)
  }

  /** Whether the last of the queue is what is being handed over, or made of it. */
  private get isHeld(): boolean {
    const { query } = this
    const last = this.queue._queryQueue.at(-1)
    if (query === undefined || last === undefined) return false
    const text = typeof query === "string" ? query : query.text
    return last === query || (typeof last.text === "string" && last.text.includes(text))
  }

  private claim(query: OwnQuery, before: Queued | undefined): void {
    const queries = this.queue._queryQueue
    const last = queries.at(-1)
    if (last === query || queries.includes(query)) return
    if (last === undefined || last === before) {
      this.isAnyMissing = true
      this.missing.add(query)
      return
    }
    if (typeof last.text === "string") query.adoptText(last.text)
    if (query._result !== undefined) query._result._types ??= this.queue._types
    query.callback = last.callback
    queries[queries.length - 1] = query
  }
}
