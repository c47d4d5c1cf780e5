/** What instruments `pg`: the real package of OpenTelemetry, and what others do to `Client.query`, in few words. */
import { context } from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { PgInstrumentation } from "@opentelemetry/instrumentation-pg"
import type { PgInstrumentationConfig } from "@opentelemetry/instrumentation-pg"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect } from "effect"
import type { Scope } from "effect"
import pg from "pg"

type Send = (this: pg.Client, ...args: Array<any>) => any

/** Puts something in front of every query, until the scope is closed. */
export const instrument = (around: (query: Send) => Send): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const { query } = pg.Client.prototype as unknown as { readonly query: Send }
      Object.assign(pg.Client.prototype, { query: around(query) })
      return query
    }),
    (query) => Effect.sync(() => Object.assign(pg.Client.prototype, { query }))
  ))

/** The hooks of `require` come too late for tests, which have loaded `pg`: this calls what they call. */
class Instrumentation extends PgInstrumentation {
  get definition() {
    return this.init()[0]!
  }
}

/** OpenTelemetry's, until the scope is closed. Gives the spans that have ended. */
export const openTelemetry = (
  config: PgInstrumentationConfig
): Effect.Effect<InMemorySpanExporter, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
      const exporter = new InMemorySpanExporter()
      const instrumentation = new Instrumentation({ ...config, enabled: false })
      instrumentation.setTracerProvider(
        new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
      )
      const { definition } = instrumentation
      definition.patch!(pg)
      return { exporter, unpatch: () => definition.unpatch!(pg) }
    }),
    ({ unpatch }) => Effect.sync(() => (unpatch(), context.disable()))
  ).pipe(Effect.map(({ exporter }) => exporter))

const comment = " /*traceparent='00-01'*/"

const isQuery = (first: unknown): first is { text: string; values?: unknown } =>
  typeof (first as { readonly text?: unknown } | null)?.text === "string"

const commented = (text: string) => text + comment

/** `pg` warns of it once, as of all that is sent before the last answer is there: that is not ours. */
const another = (client: pg.Client, query: Send, text: string): void => {
  process.noDeprecation = true
  query.call(client, text).catch(() => {})
}

const behind = (client: pg.Client, query: Send): void => another(client, query, "SELECT 'behind'")

/** Each does something else to what it is called with. */
export const others: Record<string, (query: Send) => Send> = {
  // A copy without what is inherited: what OpenTelemetry does with comments.
  "a plain copy": (query) =>
    function(first, ...rest) {
      return query.call(this, isQuery(first) ? { ...first, text: commented(first.text) } : first, ...rest)
    },
  "a copy of its own class": (query) =>
    function(first, ...rest) {
      if (!isQuery(first)) return query.call(this, first, ...rest)
      const copy = Object.assign(Object.create(Object.getPrototypeOf(first)), first)
      return query.call(this, Object.assign(copy, { text: commented(first.text) }), ...rest)
    },
  "an object that inherits from it": (query) =>
    function(first, ...rest) {
      return query.call(
        this,
        isQuery(first) ? Object.create(first, { text: { value: commented(first.text) } }) : first,
        ...rest
      )
    },
  "its text and values": (query) =>
    function(first, ...rest) {
      return isQuery(first)
        ? query.call(this, commented(first.text), first.values, ...rest)
        : query.call(this, first, ...rest)
    },
  // Datadog's tracer: the text is changed in place, and the callback of what is last in the queue.
  "a text that is changed in place": (query) => {
    const texts = new WeakMap<object, string>()
    return function(first, ...rest) {
      const sent = typeof first === "string" ? { text: first } : first
      const text = texts.get(sent) ?? sent.text
      texts.set(sent, text)
      sent.text = `/*dddbs='db'*/ ${text}`
      const result = query.call(this, sent, ...rest)
      const { _activeQuery, _queryQueue } = this as any
      const queued = _queryQueue.at(-1) ?? _activeQuery
      const { callback } = queued
      if (callback !== undefined) queued.callback = (...args: Array<unknown>) => callback(...args)
      else if (queued.once !== undefined) queued.once("end", () => {})
      else queued.then(() => {})
      return result
    }
  },
  // The SDK of X-Ray: all in one object.
  "a callback inside": (query) =>
    function(first, values, callback) {
      const sent = typeof first === "string" ? { text: first } as any : first
      if (typeof values === "function") sent.callback = values
      else if (values) sent.values = values
      if (callback) sent.callback = callback
      const told = sent.callback
      if (told) sent.callback = (error: unknown, result: unknown) => told(error, result)
      return query.call(this, sent)
    },
  // New Relic's agent makes a promise of whatever comes back.
  "a promise": (query) =>
    async function(...args) {
      return await query.apply(this, args)
    },
  "a promise of the answer": (query) =>
    function(first, ...rest) {
      if (typeof rest.at(-1) !== "function") return query.call(this, first, ...rest)
      const callback = rest.pop()
      const { submit: _, ...copy } = typeof first === "string" ? { text: first } : first
      query.call(this, { ...copy, ...(rest.length > 0 && { values: rest[0] }) })
        .then((result: unknown) => callback(null, result), callback)
    },
  "a callback that is called twice": (query) =>
    function(...args) {
      if (typeof args.at(-1) !== "function") return query.apply(this, args)
      const callback = args.pop()
      return query.call(this, ...args, (...answer: Array<unknown>) => (callback(...answer), callback(...answer)))
    },
  "another statement before each": (query) =>
    function(...args) {
      another(this, query, "SET trace.parent = '00-01'")
      return query.apply(this, args)
    },
  "another statement behind each": (query) =>
    function(...args) {
      const result = query.apply(this, args)
      behind(this, query)
      return result
    },
  "a plain copy, and another statement behind each": (query) =>
    function(first, ...rest) {
      const result = query.call(this, isQuery(first) ? { ...first, text: commented(first.text) } : first, ...rest)
      behind(this, query)
      return result
    },
  "a proxy": (query) =>
    function(first, ...rest) {
      return query.call(this, isQuery(first) ? new Proxy(first, {}) : first, ...rest)
    }
}
