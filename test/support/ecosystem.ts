/** For the tests of libraries that sit on top of a client. */
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { serverUrl, uniqueName, watch } from "./pgPool.js"

/** The address of a schema of one's own, gone with the scope: for libraries whose tables have fixed names. */
export const makeSchema: Effect.Effect<Redacted.Redacted, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* watch()
  const name = uniqueName()
  yield* Effect.acquireRelease(
    server.query(`CREATE SCHEMA ${name}`),
    () => server.query(`DROP SCHEMA ${name} CASCADE`)
  )
  const url = new URL(Redacted.value(serverUrl))
  url.searchParams.set("options", `-c search_path=${name}`)
  return Redacted.make(url.href)
})

/** The same of a database, which takes longer. It can't be dropped while a session is left in it. */
export const makeDatabase: Effect.Effect<Redacted.Redacted, never, Scope.Scope> = Effect.gen(function*() {
  const server = yield* watch()
  const name = uniqueName()
  yield* Effect.acquireRelease(
    server.query(`CREATE DATABASE ${name}`),
    () => server.query(`DROP DATABASE ${name}`)
  )
  const url = new URL(Redacted.value(serverUrl))
  url.pathname = name
  return Redacted.make(url.href)
})

/** Whoever comes to it waits until so many have come. */
export const makeMeeting = (size: number): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(Effect.makeLatch(), (latch) => {
    let missing = size
    return Effect.suspend(() => --missing === 0 ? Effect.asVoid(latch.open) : latch.await)
  })
