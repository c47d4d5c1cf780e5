/** A database of one's own on the server of the run. */
import { Context, Effect, Layer, Redacted } from "effect"
import type { Scope } from "effect"
import type { Server } from "./pgPool.js"
import { serverUrl, uniqueName, watch } from "./pgPool.js"

export interface Database {
  readonly url: Redacted.Redacted
  /** A session of the watcher's in it. */
  readonly server: Server
}

export const Database = Context.GenericTag<Database>("test/Database")

/** Gone with the scope, whoever is still connected. */
export const make: Effect.Effect<Database, never, Scope.Scope> = Effect.gen(function*() {
  const main = yield* watch()
  const name = uniqueName()
  yield* Effect.acquireRelease(
    main.query(`CREATE DATABASE ${name}`),
    () => main.query(`DROP DATABASE ${name} WITH (FORCE)`)
  )
  const url = new URL(Redacted.value(serverUrl))
  url.pathname = `/${name}`
  return { url: Redacted.make(url.href), server: yield* watch(Redacted.make(url.href)) }
})

/** One for all tests of a file. */
export const layer: Layer.Layer<Database> = Layer.scoped(Database, make)
