// Passwords that live for a short time, as the tokens of a cloud's database do: the pool asks for one whenever it opens
// a connection. Here the password of a role is changed every 200 ms for a few seconds, and no statement fails.
//   DATABASE_URL=postgresql://admin@localhost/app npx tsx examples/rotating-password.ts       (may CREATE ROLE)
import { NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Console, Context, Effect, Layer, Redacted, Ref, Schedule } from "effect"
import { PgPool, PgPoolLayer } from "effect-pgpool"
import { randomBytes } from "node:crypto"

const role = "example_rotating"

/** Stands for the service that knows today's password: AWS RDS (`Signer.getAuthToken`), Vault, a mounted file. */
class Vault extends Context.Tag("Vault")<Vault, {
  readonly password: Effect.Effect<Redacted.Redacted>
  readonly rotate: Effect.Effect<void>
}>() {}

const VaultLive = Layer.scoped(
  Vault,
  Effect.gen(function*() {
    const admin = yield* SqlClient.SqlClient
    const current = yield* Ref.make(Redacted.make("none yet"))
    // Nobody is told the old one while it is being changed.
    const turn = yield* Effect.makeSemaphore(1)
    const rotate = Effect.gen(function*() {
      const next = randomBytes(24).toString("base64url")
      yield* Effect.orDie(admin.unsafe(`ALTER ROLE ${role} PASSWORD '${next}'`))
      yield* Ref.set(current, Redacted.make(next))
    }).pipe(turn.withPermits(1))
    yield* admin.unsafe(`DROP ROLE IF EXISTS ${role}`)
    yield* Effect.acquireRelease(
      admin.unsafe(`CREATE ROLE ${role} LOGIN`),
      () => Effect.orDie(admin.unsafe(`DROP ROLE ${role}`))
    )
    yield* rotate
    return { rotate, password: turn.withPermits(1)(Ref.get(current)) }
  })
)

/** The pool of the service itself. With `expires` below a token's life no connection is older than its password. */
const DatabaseLive = Layer.unwrapEffect(
  Effect.map(
    Vault,
    ({ password }) => PgPool.layerFromEnv({ username: role, password, maxsize: 4, expires: "300 millis" })
  )
)

const program = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const vault = yield* Vault
  const answered = yield* Ref.make(0)
  const isOver = yield* Ref.make(false)
  const caller = sql`SELECT pg_sleep(0.005)`.pipe(
    Effect.zipRight(sql.withTransaction(sql`SELECT current_user`)),
    Effect.zipRight(Ref.update(answered, (n) => n + 2)),
    Effect.repeat({ until: () => Ref.get(isOver) })
  )
  const rotations = vault.rotate.pipe(
    Effect.repeat(Schedule.spaced("200 millis").pipe(Schedule.upTo("3 seconds"))),
    Effect.zipRight(Ref.set(isOver, true))
  )
  // The first failure of a caller would end it all.
  yield* Effect.all([rotations, ...Effect.replicate(caller, 8)], { concurrency: "unbounded", discard: true })
  const pool = yield* PgPool.PgPool
  const { opened } = yield* pool.stats
  yield* Console.log(`${yield* Ref.get(answered)} statements answered, ${opened} connections opened, none failed`)
})

program.pipe(
  Effect.provide(Layer.provideMerge(DatabaseLive, Layer.provide(VaultLive, PgPoolLayer))),
  NodeRuntime.runMain
)
