/** Those who ask the pool for a connection and hold it for a while. */
import type { SqlError } from "@effect/sql/SqlError"
import { Clock, Data, Deferred, Effect, Exit, Scope } from "effect"
import type { PoolError } from "effect-pgpool"
import { PgPool } from "effect-pgpool"
import { Report } from "./report.js"

/** Somebody who has a connection, until they give it back or the scope ends. */
export interface Holder {
  /** The session, as the server itself calls it. */
  readonly pid: number
  /** In milliseconds. */
  readonly waited: number
  readonly giveBack: Effect.Effect<void>
}

export class Refused extends Data.TaggedError("Refused")<{
  readonly cause: PoolError.PoolError | SqlError
  /** In milliseconds. */
  readonly waited: number
}> {
  override get message(): string {
    return this.cause.message
  }
}

/** Asks, and does not wait for the answer: that is what the effect inside is for. */
export const ask: Effect.Effect<Effect.Effect<Holder, Refused>, never, PgPool.PgPool | Report | Scope.Scope> = Effect
  .gen(function*() {
    const pool = yield* PgPool.PgPool
    const report = yield* Report
    const hold = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const giveBack = Scope.close(hold, Exit.void)
    const answer = yield* Deferred.make<Holder, Refused>()
    yield* Effect.gen(function*() {
      yield* Effect.acquireRelease(report.demand(1), () => report.demand(-1))
      const since = yield* Clock.currentTimeMillis
      const wait = Effect.map(Clock.currentTimeMillis, (now) => now - since)
      const refuse = (cause: PoolError.PoolError | SqlError) =>
        Effect.flatMap(wait, (waited) => new Refused({ cause, waited }))
      const connection = yield* Effect.catchAll(pool.get, refuse)
      const waited = yield* wait
      const rows = yield* Effect.catchAll(connection.executeValues("SELECT pg_backend_pid()", []), refuse)
      return { pid: Number(rows[0]?.[0]), waited, giveBack }
    }).pipe(
      Scope.extend(hold),
      Effect.tapErrorCause(() => giveBack),
      Effect.intoDeferred(answer),
      Effect.forkScoped
    )
    return Deferred.await(answer)
  })

/** Asks and waits for the answer. */
export const hold: Effect.Effect<Holder, Refused, PgPool.PgPool | Report | Scope.Scope> = Effect.flatten(ask)
