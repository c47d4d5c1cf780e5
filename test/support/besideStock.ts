import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, String as Str } from "effect"
import { serverUrl } from "./pgPool.js"

export type Use = (sql: PgClient.PgClient, table: string) => Effect.Effect<unknown, unknown>

export const names = { transformResultNames: Str.snakeToCamel, transformQueryNames: Str.camelToSnake }

export const makeStock = (options?: PgClient.PgClientConfig) =>
  Effect.map(
    Layer.build(PgClient.layer({ url: serverUrl, ...options })),
    (context) => Context.get(context, PgClient.PgClient)
  )
