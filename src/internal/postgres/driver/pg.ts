/** @internal */
import type { EventEmitter } from "node:events"
import type { Duplex } from "node:stream"
import type { ConnectionOptions, TLSSocket } from "node:tls"
import type { ClientConfig, CustomTypesConfig, FieldDef, QueryResult } from "pg"
import Pg, { Client as PgClient, Connection, escapeIdentifier, Query, Result as PgResult, TypeOverrides } from "pg"

/*
 * All that this package uses of `pg` beyond its types. None of it is documented, so any update of `pg` may change it:
 * each interface here has a list in `parts`, and a test looks for every name in the version that is installed.
 */

/** The socket of a connection, or the TLS over it. @internal */
export type Stream = Duplex & Partial<Pick<TLSSocket, "remoteAddress" | "remotePort" | "alpnProtocol">>

/** Makes values of what the server has written. @internal */
export interface TypeParsers {
  readonly getTypeParser: (oid: number, format: any) => (value: any) => unknown
}

/** The parts of a connection that are not in its types, or are there with more than is needed. */
interface WireParts {
  readonly stream: Stream
  readonly ssl: unknown
  readonly sslNegotiation: string
  connect: (port: number | string, host?: string) => void
  requestSsl: () => void
  /** Sends the first message of a session. */
  startup: (settings: unknown) => void
  /** Sends a request to cancel what another session runs. */
  cancel: (processId: number | null, secretKey: number | null) => void
  /** Begins to read a socket, or the TLS over it. */
  attachListeners: (stream: Listenable) => void
  password: (password: unknown) => void
  sendSASLInitialResponseMessage: (mechanism: unknown, response: unknown) => void
  sendSCRAMClientFinalMessage: (response: unknown) => void
  query: (text: string) => void
  parse: (statement: { readonly name?: string; readonly text: string }) => void
  bind: (
    portal: { readonly portal?: string; readonly statement?: string; readonly values: ReadonlyArray<unknown> }
  ) => void
  describe: (what: { readonly type: "P"; readonly name: string }) => void
  execute: (portal: { readonly portal?: string; readonly rows?: number }) => void
  /** Closes a portal, or a prepared statement. */
  close: (what: { readonly type: "P" | "S"; readonly name: string }) => void
  flush: () => void
  sync: () => void
  sendCopyFail: (why: string) => void
}

/** What `attachListeners` needs of a socket. @internal */
export interface Listenable {
  readonly on: (event: string, listener: (chunk: Buffer) => void) => unknown
  readonly resume?: () => unknown
}

/** `pg`'s connection: the messages of one session. It tells of each message of the server in an event. @internal */
export interface Wire extends WireParts, EventEmitter {}

/** The parts of a client that are not in its types, or are there with more than is needed. */
interface ClientParts {
  readonly connection: Wire
  readonly connectionParameters: Record<string, unknown>
  readonly ssl: boolean | ConnectionOptions
  readonly sslNegotiation: string
  readonly processID: number | null
  readonly secretKey: number | null
  /** Whether it asks for values in the binary format. */
  binary: boolean
  /** Whether a query is sent before the last one is answered. */
  pipeline: boolean
  /** `undefined` until the first ReadyForQuery. */
  readonly readyForQuery?: boolean
  /** `false` after an error of the connection: it sends nothing any more, even if its socket has not ended yet. */
  readonly _queryable: boolean
  /** Whether `end` was called. */
  readonly _ending: boolean
  /** The type parsers that were set on it. */
  _types: TypeParsers
  /** The queries that were not sent yet. */
  readonly _queryQueue: Array<Queued>
  /** Sends the next query of the queue if it may be sent. */
  _pulseQueryQueue: () => void
  /** Fails all queries that have no answer yet. */
  readonly _errorAllQueries: (error: unknown) => void
  readonly getTransactionStatus: () => "I" | "T" | "E" | null
  readonly query: (query: unknown, callback?: (error: unknown, result: any) => void) => unknown
  readonly connect: (callback: (error: unknown) => void) => void
  readonly end: (callback: () => void) => void
}

/** `pg`'s client. @internal */
export interface Client extends Omit<PgClient, keyof ClientParts>, ClientParts {}

/** A query in the queue of a client: one of ours, or one that `pg` has made. @internal */
export interface Queued {
  readonly text?: unknown
  callback?: Callback | undefined
}

/** @internal */
export type Callback = (error: unknown, result?: unknown) => void

/** What a client calls on the query that is being answered. @internal */
export interface Handlers {
  readonly submit: (wire: Wire) => unknown
  readonly handleRowDescription: (message: RowDescription) => void
  readonly handleDataRow: (message: DataRow) => void
  readonly handlePortalSuspended: (wire: Wire) => void
  readonly handleCommandComplete: (message: never, wire: Wire) => void
  readonly handleEmptyQuery: (wire: Wire) => void
  readonly handleCopyInResponse: (wire: Wire) => void
  readonly handleCopyData: (message: never, wire: Wire) => void
  readonly handleError: (error: unknown, wire: Wire) => void
  readonly handleReadyForQuery: (wire: Wire) => void
}

/** @internal */
export interface RowDescription {
  readonly fields: Array<FieldDef>
}

/** @internal */
export interface DataRow {
  /** Bytes on the wire. */
  readonly length: number
  readonly fields: ReadonlyArray<unknown>
}

/** The parts of `pg`'s query that are not in its types. */
interface QueryParts {
  text: string
  callback: Callback | undefined
  /** The result at hand: a text may have several statements. */
  readonly _result: Result
  /** What a type parser threw. The caller is told that instead of the rows. */
  _canceledDueToError: unknown
  /** Begins the next result if the one at hand is complete. */
  _checkForMultirow(): void
  handleError(error: unknown, wire: Wire): void
  handleCommandComplete(message: never, wire: Wire): void
  /** Whether it goes by the extended protocol. */
  requiresPreparation(): boolean
  /** Called by `submit` for a query with parameters; what it writes is sent in one piece. */
  prepare(wire: Wire): void
}

/** The parts of a result that are not in its types. */
interface ResultParts {
  /** The type parsers of the query, or else of the client, which puts its own here. */
  _types: TypeParsers
  _parsers: ReadonlyArray<(value: string) => unknown> | undefined
  /** A copy of it is the beginning of each row. */
  _prebuiltEmptyResultObject: Record<string, unknown>
  readonly addFields: (fields: Array<FieldDef>) => void
  readonly parseRow: (values: ReadonlyArray<unknown>) => unknown
}

/** @internal */
export interface Result extends QueryResult, ResultParts {}

interface Utils {
  /** A parameter as it is sent. It throws where a value can't be serialised. */
  readonly prepareValue: (value: unknown) => unknown
}

/** @internal */
export const newClient = (settings: ClientConfig): Client => new PgClient(settings) as unknown as Client

/** A connection without a client. @internal */
export const newWire = (config: {
  readonly ssl: boolean | ConnectionOptions
  readonly sslNegotiation: string | undefined
  readonly stream: Duplex | undefined
}): Wire => new Connection(config as never) as unknown as Wire

/** @internal */
export const BaseQuery = Query as unknown as new(text: string | object, values: ReadonlyArray<unknown>) => QueryParts

/** @internal */
export const newResult = (): Result => new (PgResult as unknown as new() => Result)()

/** Type parsers of its own for a client, with those of before behind them. @internal */
export const overTypes = (types: TypeParsers): TypeParsers => new TypeOverrides(types as CustomTypesConfig)

const { utils } = Pg as unknown as { readonly utils: Utils }

/** As `pg` sends them; may throw on what can't be serialised. @internal */
export const prepareValues = (values: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  values.map((value) => utils.prepareValue(value))

/** The name of a channel or a table as it must be written in a statement. @internal */
export { escapeIdentifier }

/** What a part is in a session that has logged in and answered a query. */
type What = "function" | "object" | "boolean" | "string" | "number"

type Parts<A> = { readonly [Name in keyof A]-?: What }

/** Every private part that is used, by what has it. @internal */
export const parts: {
  readonly client: Parts<ClientParts>
  readonly wire: Parts<WireParts>
  readonly query: Parts<QueryParts & Handlers>
  readonly result: Parts<ResultParts>
  readonly utils: Parts<Utils>
} = {
  client: {
    connection: "object",
    connectionParameters: "object",
    ssl: "boolean",
    sslNegotiation: "string",
    processID: "number",
    secretKey: "number",
    binary: "boolean",
    pipeline: "boolean",
    readyForQuery: "boolean",
    _queryable: "boolean",
    _ending: "boolean",
    _types: "object",
    _queryQueue: "object",
    _pulseQueryQueue: "function",
    _errorAllQueries: "function",
    getTransactionStatus: "function",
    query: "function",
    connect: "function",
    end: "function"
  },
  wire: {
    stream: "object",
    ssl: "boolean",
    sslNegotiation: "string",
    connect: "function",
    requestSsl: "function",
    startup: "function",
    cancel: "function",
    attachListeners: "function",
    password: "function",
    sendSASLInitialResponseMessage: "function",
    sendSCRAMClientFinalMessage: "function",
    query: "function",
    parse: "function",
    bind: "function",
    describe: "function",
    execute: "function",
    close: "function",
    flush: "function",
    sync: "function",
    sendCopyFail: "function"
  },
  query: {
    text: "string",
    callback: "function",
    _result: "object",
    _canceledDueToError: "boolean",
    _checkForMultirow: "function",
    requiresPreparation: "function",
    prepare: "function",
    submit: "function",
    handleRowDescription: "function",
    handleDataRow: "function",
    handlePortalSuspended: "function",
    handleCommandComplete: "function",
    handleEmptyQuery: "function",
    handleCopyInResponse: "function",
    handleCopyData: "function",
    handleError: "function",
    handleReadyForQuery: "function"
  },
  result: {
    _types: "object",
    _parsers: "object",
    _prebuiltEmptyResultObject: "object",
    addFields: "function",
    parseRow: "function"
  },
  utils: { prepareValue: "function" }
}
