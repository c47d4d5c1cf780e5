/** @internal */
import type * as Pg from "pg"

/** `pg`'s client, with the parts that are not in its types. @internal */
export interface Client extends Omit<Pg.Client, "connection" | "query" | "connect" | "end"> {
  readonly connection: Pg.Connection
  readonly processID: number | null
  readonly secretKey: number | null
  readonly readyForQuery?: boolean
  /** Whether queries are sent before the last one is answered. */
  pipeline: boolean
  /** `false` after an error of the connection: nothing is sent any more, although its socket may not have ended yet. */
  readonly _queryable: boolean
  /** Somebody has said good-bye. */
  readonly _ending: boolean
  readonly getTransactionStatus: () => "I" | "T" | "E" | null
  readonly query: (query: unknown, callback?: (error: unknown, result: any) => void) => unknown
  readonly connect: (callback: (error: unknown) => void) => void
  readonly end: (callback: () => void) => void
  /** Tells all that wait for an answer that none will come. */
  readonly _errorAllQueries: (error: unknown) => void
}
