import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigError, ConfigProvider, Context, Effect, Either, Exit, Layer, Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { afterEach, beforeEach, vi } from "vitest"
import { decodeTarget } from "../../src/internal/postgres/config/target.js"
import { makePool, serverVariables } from "../support/pgPool.js"
import { withLogs } from "../support/testPool.js"

type Options = PgPool.PgPoolOptions

const nameOf = (options: Options): string => Either.getOrThrow(decodeTarget(options)).pool.name

/** Nothing is opened: the name is known as soon as the pool is made. */
const nameIn = (environment: Record<string, string>, options?: Options) =>
  Effect.scoped(Effect.gen(function*() {
    const provider = ConfigProvider.fromMap(new Map(Object.entries(environment)))
    const layer = Layer.provide(PgPool.layerFromEnv(options), Layer.setConfigProvider(provider))
    const pool = Context.get(yield* Layer.build(layer), PgPool.PgPool)
    return (yield* pool.stats).name
  }))

const at = (url: string): Options => ({ url: Redacted.make(url) })

describe("R40: the name of a pool", () => {
  beforeEach(() => {
    for (const key of ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE"]) vi.stubEnv(key, undefined)
  })

  afterEach(() => vi.unstubAllEnvs())

  const hosts = (n: number) => Array.from({ length: n }, (_, index) => `db${index + 1}.example.com:${6001 + index}`)

  const defaults: ReadonlyArray<readonly [what: string, options: Options, name: string]> = [
    ["a URL", at("postgresql://app:s3cret@db.internal:6432/shop?sslmode=disable"), "db.internal:6432/shop"],
    ["options", { host: "db", database: "shop", username: "app", password: Redacted.make("s3cret") }, "db:5432/shop"],
    ["an option beside a URL", { ...at("postgresql://app:s3cret@db/shop"), database: "other" }, "db:5432/other"],
    ["no database, which is that of the user", { host: "db", username: "app" }, "db:5432/app"],
    ["two hosts", at("postgresql://app:s3cret@a:5432,b:5433/shop"), "a:5432,b:5433/shop"],
    ["a long list of hosts", { hosts: hosts(7), database: "shop" }, "db1.example.com:6001 (+6)/shop"],
    ["an address of IPv6", { hosts: ["::1"], database: "shop" }, "[::1]:5432/shop"],
    ["a Unix socket", { path: "/run/postgresql/.s.PGSQL.6000", database: "shop" }, "/run/postgresql:6000/shop"],
    ["a database that can't stand in a line", { host: "db", database: "a\nb" }, "db:5432/a b"]
  ]

  for (const [what, options, name] of defaults) {
    it(`is where it leads: ${what}`, () => {
      assert.strictEqual(nameOf(options), name)
      // A password is in the URLs and in the options.
      assert.notInclude(nameOf(options), "s3cret")
    })
  }

  it("is where the process's environment leads, as with pg", () => {
    vi.stubEnv("PGHOST", "db")
    vi.stubEnv("PGUSER", "app")
    assert.strictEqual(nameOf({}), "db:5432/app")
    vi.stubEnv("PGDATABASE", "shop")
    assert.strictEqual(nameOf({}), "db:5432/shop")
  })

  it("keeps both ends where a host has a very long name, and is as long as a name may be", () => {
    const name = nameOf({ host: `${"h".repeat(200)}.internal`, database: "shop" })
    assert.match(name, /^h{47}\.\.\.h{31}\.internal:5432\/shop$/)
    assert.strictEqual(nameOf({ name }), name)
  })

  it.effect("is read from PGPOOL_NAME; an option of the program wins", () =>
    Effect.gen(function*() {
      const environment = { PGHOST: "db", PGDATABASE: "shop" }
      assert.strictEqual(yield* nameIn(environment), "db:5432/shop")
      assert.strictEqual(yield* nameIn({ ...environment, PGPOOL_NAME: "reports" }), "reports")
      assert.strictEqual(yield* nameIn({ ...environment, PGPOOL_NAME: "reports" }, { name: "jobs" }), "jobs")
    }))

  const bad = ["", " ", "a\nb", "a\tb", "x".repeat(101)]
  const isNot = "is not allowed, it must be a text of 1 to 100 characters on one line"

  for (const name of [...bad, 5, null]) {
    it.effect(`can't be ${JSON.stringify(name).slice(0, 20)}: the error says what is allowed`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(PgPool.layer({ host: "db", name: name as string }))))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        const [defect] = Exit.isFailure(exit) ? [...Cause.defects(exit.cause)] : []
        const { message } = defect as Error
        assert.isTrue(message.startsWith("name: ") && message.endsWith(isNot), message)
      }))
  }

  it.effect("if the environment has a bad one, the error names the variable", () =>
    Effect.gen(function*() {
      for (const name of bad) {
        const error = yield* Effect.flip(nameIn({ PGHOST: "db", PGPOOL_NAME: name }))
        assert.isTrue(ConfigError.isConfigError(error))
        assert.include(String(error), "PGPOOL_NAME")
        assert.include(String(error), isNot)
      }
    }))

  it.scopedLive("stands in its lines of the log, its errors and its statistics", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { PGDATABASE, PGHOST, PGPORT } = serverVariables
        const name = `${PGHOST}:${PGPORT}/${PGDATABASE}`
        const { close, pool, sql } = yield* makePool({ expires: 600, maxsize: 1, maxoverflow: 1, acquireTimeout: 200 })
        assert.strictEqual((yield* pool.stats).name, name)
        assert.isTrue(logs[0].startsWith(`WARN ${name}: Is this meant? expires is 600 ms`), logs[0])
        const exhausted = yield* Effect.flip(pool.use(() => sql`SELECT 1`))
        assert.include(exhausted.message, `(${name}: 1 busy, 0 idle`)
        yield* close
        const closed = yield* Effect.flip(sql`SELECT 1`)
        assert.include(closed.message, `The pool ${name} is closed.`)
      })
    ))
})
