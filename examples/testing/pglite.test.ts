import { SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { PGlite } from "@electric-sql/pglite"
import { PGLiteSocketServer } from "@electric-sql/pglite-socket"
import { Effect, Layer, Redacted } from "effect"
import { PgError, PgPool } from "effect-pgpool"

const PGliteServer = Effect.acquireRelease(
  Effect.promise(async () => {
    const db = await PGlite.create()
    const server = new PGLiteSocketServer({ db, port: 0, maxConnections: 5 })
    await server.start()
    return { db, server }
  }),
  ({ db, server }) => Effect.promise(() => server.stop().then(() => db.close()))
)

const DatabaseTest = Layer.unwrapScoped(Effect.map(PGliteServer, ({ server }) =>
  PgPool.layer({
    url: Redacted.make(`postgresql://postgres@${server.getServerConn()}/postgres`),
    maxsize: 4,
    maxoverflow: 4 // fewer than maxConnections: the pool may open one more beside them
  })))

layer(DatabaseTest, { timeout: "1 minute" })("users in PGlite", (it) => {
  it.effect("have unique names", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE users (name text UNIQUE)`
      const insert = sql.withTransaction(sql`INSERT INTO users VALUES ('Ada')`)
      const [first, second] = yield* Effect.all([Effect.either(insert), Effect.either(insert)], { concurrency: 2 })
      const errors = [first, second].flatMap((one) => one._tag === "Left" ? [one.left] : [])
      assert.deepStrictEqual(errors.map(PgError.isUniqueViolation), [true])
    }))
})
