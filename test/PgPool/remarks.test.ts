/** What is told to whoever gave the options: what was not said, was misspelt, or was said twice. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigError, ConfigProvider, Context, Effect, Either, Layer, Logger, Redacted } from "effect"
import { PgPool, PgPoolLayer } from "effect-pgpool"
import * as Pg from "pg"
import { afterEach, beforeEach, inject, vi } from "vitest"
import { decodeTarget } from "../../src/internal/postgres/config/target.js"
import { serverUrl, serverVariables, uniqueName } from "../support/pgPool.js"

type Options = PgPool.PgPoolOptions

/** The lines of the log while the layer is built and closed. Nobody asks for a connection. */
const linesOf = (layer: Layer.Layer<any, any>, entries: Record<string, string> = {}) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`))
    yield* Effect.scoped(Layer.build(layer)).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries))))
    )
    return lines
  })

/** What a compiler has not seen. */
const untyped = (options: object) => PgPool.layer(options as Options)

const defectOf = (layer: Layer.Layer<any, any>) =>
  Effect.map(Effect.sandbox(Layer.build(layer)).pipe(Effect.flip, Effect.scoped), (cause) => {
    const error = Cause.squash(cause)
    assert.isTrue(Cause.isIllegalArgumentException(error), String(error))
    return (error as Error).message
  })

const configErrorOf = (layer: Layer.Layer<any, any>, entries: Record<string, string> = {}) =>
  Layer.build(layer).pipe(
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries)))),
    Effect.flip,
    Effect.scoped,
    Effect.map((error) => {
      assert.isTrue(ConfigError.isConfigError(error), String(error))
      return String(error)
    })
  )

const server = new URL(inject("pgUrl"))

describe("R27: who has not said where the server is", () => {
  const places = ["PGHOST", "PGPORT", "PGDATABASE"]

  beforeEach(() => {
    for (const key of [...places, "PGUSER"]) vi.stubEnv(key, undefined)
  })

  afterEach(() => vi.unstubAllEnvs())

  it.effect("PgPoolLayer logs at once, and once, where it looks for it", () =>
    Effect.gen(function*() {
      const line = (user: string) =>
        `WARN localhost:5432/${user}: Neither DATABASE_URL nor PGHOST is set: ` +
        `the pool looks for the server at localhost:5432, database ${user}, user ${user}`
      // As a compose file leaves them out.
      for (const entries of [{}, { DATABASE_URL: "", PGHOST: "" }]) {
        const lines = yield* linesOf(PgPoolLayer, { PGUSER: "ada", ...entries })
        assert.deepStrictEqual(lines, [line("ada")])
      }
      vi.stubEnv("PGUSER", "grace")
      assert.deepStrictEqual(yield* linesOf(PgPoolLayer), [line("grace")])
    }))

  it.effect("PgPool.layer and layerConfig too, by their own names for it", () =>
    Effect.gen(function*() {
      for (
        const layer of [PgPool.layer({ username: "ada" }), PgPool.layerConfig({ username: Config.succeed("ada") })]
      ) {
        const [line, ...more] = yield* linesOf(layer)
        assert.match(
          line,
          /^WARN localhost:5432\/ada: Neither url nor host is given.*DATABASE_URL is read by PgPoolLayer.* user ada$/
        )
        assert.deepStrictEqual(more, [])
      }
    }))

  it("a failed connect gives the same as a hint", () => {
    const { hint, warnings } = Either.getOrThrow(decodeTarget({}))
    assert.include(String(hint), "looks for the server at localhost:5432")
    assert.deepStrictEqual(warnings, [String(hint)])
    assert.isUndefined(Either.getOrThrow(decodeTarget({ url: serverUrl })).hint)
  })

  it.effect("nothing is logged where it was said, by whatever means", () =>
    Effect.gen(function*() {
      const said: ReadonlyArray<Options> = [
        { url: Redacted.make("postgresql:///app") },
        { host: "localhost" },
        { hosts: ["localhost"] },
        { port: 5433 },
        { path: "/run/postgresql" },
        { database: "app" },
        { stream: () => undefined as never }
      ]
      for (const options of said) {
        assert.deepStrictEqual(yield* linesOf(PgPool.layer(options)), [])
        assert.deepStrictEqual(yield* linesOf(PgPool.layerFromEnv(options)), [])
      }
      for (const key of ["DATABASE_URL", ...places]) {
        const value = key === "DATABASE_URL" ? "postgresql://db/app" : key === "PGPORT" ? "5432" : "app"
        assert.deepStrictEqual(yield* linesOf(PgPoolLayer, { [key]: value }), [])
      }
      for (const key of places) {
        // `pg` reads it there, whatever the provider says.
        vi.stubEnv(key, key === "PGPORT" ? "5432" : "app")
        assert.deepStrictEqual(yield* linesOf(PgPoolLayer), [])
        assert.deepStrictEqual(yield* linesOf(PgPool.layer({})), [])
        vi.stubEnv(key, undefined)
      }
      const { host } = Pg.defaults
      Pg.defaults.host = "db"
      assert.deepStrictEqual(
        yield* linesOf(PgPool.layer({})).pipe(Effect.ensuring(Effect.sync(() => {
          Pg.defaults.host = host
        }))),
        []
      )
    }))
})

describe("R27: a variable that is not set", () => {
  it.effect("as a url: the error says undefined", () =>
    Effect.gen(function*() {
      for (const given of [undefined, null, "undefined", "null", "", " "]) {
        const url = Redacted.make(given as string)
        const shown = typeof given === "string" ? JSON.stringify(given) : String(given)
        const message = yield* defectOf(PgPool.layer({ url }))
        assert.include(message, `url: ${shown} is not allowed`)
        assert.include(message, "is the variable set that it comes from?")
        assert.include(yield* configErrorOf(PgPool.layerConfig({ url: Config.succeed(url) })), "is not allowed")
      }
      assert.include(yield* defectOf(untyped({ url: null })), "url: null is not allowed")
      assert.match(
        yield* configErrorOf(PgPoolLayer, { DATABASE_URL: "undefined" }),
        /DATABASE_URL: .*undefined.* is not allowed/
      )
    }))

  it.effect("as a password: the error says undefined, and of another value nothing", () =>
    Effect.gen(function*() {
      const of = (value: unknown) =>
        defectOf(PgPool.layer({ url: serverUrl, password: Redacted.make(value as string) }))
      assert.include(yield* of(undefined), "password: undefined is not allowed")
      assert.include(yield* of(null), "password: null is not allowed")
      assert.notInclude(yield* of(123_456), "123456")
    }))

  it.scopedLive("as what the Effect of a password gives", () =>
    Effect.gen(function*() {
      const password = Effect.succeed(Redacted.make(undefined as unknown as string))
      const sql = Context.get(yield* Layer.build(PgPool.layer({ url: serverUrl, password })), PgClient.PgClient)
      assert.include((yield* Effect.flip(sql`SELECT 1`)).message, "undefined")
    }))
})

describe("R27: what there is not", () => {
  const meant = {
    MAXSIZ: "PGPOOL_MAXSIZE",
    MAX_SIZE: "PGPOOL_MAXSIZE",
    maxsize: "PGPOOL_MAXSIZE",
    EXPIRE: "PGPOOL_EXPIRES",
    ACQUIRE: "PGPOOL_ACQUIRE_TIMEOUT",
    AQUIRE_TIMOUT: "PGPOOL_ACQUIRE_TIMEOUT",
    TIMEOUT: "PGPOOL_ACQUIRE_TIMEOUT, PGPOOL_IDLE_TIMEOUT, or PGPOOL_CONNECT_TIMEOUT",
    MAX_CONNECTIONS: "PGPOOL_MAXSIZE or PGPOOL_MAXOVERFLOW",
    MAXCONNECTIONS: "PGPOOL_MAXSIZE or PGPOOL_MAXOVERFLOW",
    MIN_CONNECTIONS: "PGPOOL_MINSIZE",
    CONNECTION_TTL: "PGPOOL_EXPIRES",
    URL: "DATABASE_URL",
    USER: "PGUSER",
    ON_CONNECT: "onConnect of PgPool.layerFromEnv"
  }

  for (const [name, key] of Object.entries(meant)) {
    it.effect(`PGPOOL_${name}: did you mean ${key}?`, () =>
      Effect.gen(function*() {
        const message = yield* configErrorOf(PgPoolLayer, { [`PGPOOL_${name}`]: "1" })
        assert.include(message, `Invalid data at PGPOOL_${name}: "no such option; did you mean ${key}? There are `)
        assert.include(message, "PGPOOL_CLOSE_TIMEOUT")
      }))
  }

  it.effect("a key that is like no other gets no guess", () =>
    Effect.gen(function*() {
      for (const key of ["PGPOOL_", "PGPOOL_ZEBRA", "PGPOOL_XY"]) {
        assert.include(yield* configErrorOf(PgPoolLayer, { [key]: "1" }), "no such option; there are PGPOOL_ACQUIRE")
      }
    }))

  it.effect("options that no compiler has seen are named in one warning, and the pool is made", () =>
    Effect.gen(function*() {
      const options = { url: serverUrl, name: "shop", maxSize: 2, idleTimeoutMillis: 10, zebra: 1, nothing: undefined }
      const warning =
        "WARN shop: Options that there are not, and that have no effect: maxSize (did you mean maxsize?), " +
        "idleTimeoutMillis (did you mean idleTimeout?), zebra"
      assert.deepStrictEqual(yield* linesOf(untyped(options)), [warning])
      assert.deepStrictEqual(yield* linesOf(PgPool.layerConfig(Config.succeed(options))), [warning])
      assert.deepStrictEqual(yield* linesOf(PgPool.layerFromEnv(options as Options)), [warning])
    }))

  it.effect("those of PgClient.layer are an error that names ours", () =>
    Effect.gen(function*() {
      const renamed = { maxConnections: "maxsize and maxoverflow", minConnections: "minsize", connectionTTL: "expires" }
      for (const [name, ours] of Object.entries(renamed)) {
        assert.include(
          yield* defectOf(untyped({ [name]: 5 })),
          `${name}: 5 is not allowed, it must be left out: use ${ours}`
        )
      }
    }))
})

describe("R27: an option beside a URL that says something else", () => {
  const text = "postgresql://ada:s3cretOne@db:5433/shop?sslmode=disable&application_name=app"
  const url = Redacted.make(text)
  const password = Redacted.make("s3cretTwo")

  const differing: ReadonlyArray<readonly [options: Options, named: string]> = [
    [{ host: "db2" }, "host"],
    [{ port: 5432 }, "port"],
    [{ path: "/run/postgresql" }, "path"],
    [{ database: "other" }, "database"],
    [{ username: "grace" }, "username"],
    [{ password }, "password"],
    [{ ssl: true }, "ssl"],
    [{ applicationName: "other" }, "applicationName"],
    [{ host: "db2", database: "other", ssl: {} }, "host, database, and ssl"]
  ]

  for (const [options, named] of differing) {
    it.effect(`${named}: one warning, without the values; the option wins`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* linesOf(PgPool.layer({ name: "shop", url, ...options })), [
          `WARN shop: The URL says something else than ${named} beside it: here the options win, with PgClient.layer the URL does`
        ])
        const { config } = Either.getOrThrow(decodeTarget({ url, ...options }))
        for (const [option, value] of Object.entries(options)) {
          assert.deepStrictEqual(config[option as keyof typeof config], value)
        }
      }))
  }

  const several = Redacted.make("postgresql://ada@a:1,b:2/shop?fallback_application_name=app&sslmode=verify-full")

  const alike: ReadonlyArray<Options> = [
    { url, host: "db", port: 5433, database: "shop", username: "ada", ssl: false, applicationName: "app" },
    { url, password: Redacted.make("s3cretOne") },
    { url, host: undefined, ssl: undefined },
    // It is there to win.
    { url, password: Effect.succeed(password) },
    // The URL is silent, or only says what to do where nothing is said.
    { url: several, password, applicationName: "other" },
    { url: several, ssl: true },
    { url: several, ssl: { rejectUnauthorized: true } },
    { url: several, host: "a,b" },
    { url: Redacted.make("postgresql://db"), database: "shop", username: "ada", ssl: true, port: 5433 }
  ]

  for (const [index, options] of alike.entries()) {
    it.effect(`no warning where both mean the same, or one was meant to win (${index})`, () =>
      Effect.map(linesOf(PgPool.layer(options)), (lines) => assert.deepStrictEqual(lines, [])))
  }

  it.effect("of several hosts, and of what TLS verifies", () =>
    Effect.gen(function*() {
      assert.include((yield* linesOf(PgPool.layer({ url: several, host: "a,c" })))[0], "than host beside")
      const careless = PgPool.layer({ url: several, ssl: { rejectUnauthorized: false } })
      assert.include((yield* linesOf(careless))[0], "than ssl beside")
    }))

  it.effect("options of layerFromEnv are meant to win over DATABASE_URL, what the environment says twice is not", () =>
    Effect.gen(function*() {
      const entries = { DATABASE_URL: text }
      assert.deepStrictEqual(yield* linesOf(PgPool.layerFromEnv({ database: "other", password }), entries), [])
      assert.lengthOf(yield* linesOf(PgPoolLayer, { ...entries, PGPOOL_APPLICATION_NAME: "other" }), 1)
      assert.lengthOf(yield* linesOf(PgPool.layerFromEnv({ url, database: "other" })), 1)
    }))
})

describe("R27: PgPool.layerFromEnv(options)", () => {
  const build = (options: Options, entries: Record<string, string>) =>
    Layer.build(PgPool.layerFromEnv(options)).pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries))))
    )

  it.scopedLive("R27: a password as an Effect, onConnect and transforms, with all the rest from the environment", () =>
    Effect.gen(function*() {
      const app = uniqueName()
      let fetched = 0
      const options: Options = {
        password: Effect.sync(() => {
          fetched++
          return Redacted.make(server.password)
        }),
        onConnect: (connection) => connection.executeRaw("SET search_path = shop", []),
        transformResultNames: (name) => name.toUpperCase()
      }
      const wrong = new URL(server)
      wrong.password = "wrong"
      for (const place of [{ DATABASE_URL: wrong.href }, { ...serverVariables, PGPASSWORD: "wrong" }]) {
        const context = yield* build(options, { ...place, PGPOOL_MAXSIZE: "3", PGPOOL_APPLICATION_NAME: app })
        const sql = Context.get(context, PgClient.PgClient)
        assert.deepStrictEqual(
          yield* sql`SELECT current_setting('application_name') AS app, current_setting('search_path') AS path`,
          [{ APP: app, PATH: "shop" }]
        )
        assert.deepInclude(yield* Context.get(context, PgPool.PgPool).stats, { maxsize: 3 })
      }
      assert.strictEqual(fetched, 2)
    }))

  it.scopedLive("what is given wins, undefined is not given, and a key that lost is not looked at", () =>
    Effect.gen(function*() {
      const entries = { PGPOOL_MAXSIZE: "a dozen", PGPOOL_EAGER: "perhaps", PGPOOL_MAXOVERFLOW: "4" }
      const options = { maxsize: 2, eager: false, maxoverflow: undefined, database: "template1" }
      const context = yield* build(options, { DATABASE_URL: server.href, ...entries })
      assert.deepInclude(yield* Context.get(context, PgPool.PgPool).stats, { maxsize: 2, maxoverflow: 4 })
      const sql = Context.get(context, PgClient.PgClient)
      assert.deepStrictEqual(yield* sql`SELECT current_database()::text AS name`, [{ name: "template1" }])
    }))

  it.scopedLive("beside a url, hosts or a path nothing else of the environment says where the server is", () =>
    Effect.gen(function*() {
      const elsewhere = { PGHOST: "nowhere.invalid", PGPORT: "none", PGDATABASE: "nowhere" }
      const contexts = [
        yield* build({ url: serverUrl }, elsewhere),
        yield* build({ url: serverUrl }, { DATABASE_URL: "no url", ...elsewhere }),
        yield* build({ hosts: [`${server.hostname}:${server.port}`] }, {
          ...serverVariables,
          PGHOST: "a,b",
          PGPORT: "1,2"
        }),
        yield* build({ host: server.hostname }, { ...serverVariables, PGHOST: "nowhere.invalid" })
      ]
      for (const context of contexts) {
        assert.deepStrictEqual(yield* Context.get(context, PgClient.PgClient)`SELECT 1 AS one`, [{ one: 1 }])
      }
      const socket = yield* build({ path: "/run/nowhere/.s.PGSQL.5433" }, serverVariables)
      assert.deepInclude(Context.get(socket, PgClient.PgClient).config, { host: "/run/nowhere", port: 5433 })
    }))

  it.effect("a bad one is a ConfigError by its own name, that of the environment by its key", () =>
    Effect.gen(function*() {
      const layer = (options: object) => PgPool.layerFromEnv(options)
      const entries = { DATABASE_URL: server.href }
      assert.include(yield* configErrorOf(layer({ maxsize: 0 }), entries), "at maxsize:")
      assert.include(
        yield* configErrorOf(layer({ minsize: 0 }), { ...entries, PGPOOL_MAXSIZE: "0" }),
        "at PGPOOL_MAXSIZE:"
      )
      assert.include(yield* configErrorOf(layer({ maxsize: 2 }), { ...entries, PGPOOL_MAXSIZ: "2" }), "PGPOOL_MAXSIZ:")
    }))
})
