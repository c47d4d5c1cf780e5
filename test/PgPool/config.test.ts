import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigError, ConfigProvider, Context, Effect, Exit, Layer, Redacted, Stream } from "effect"
import { PgPool, PgPoolLayer } from "effect-pgpool"
import { inject, vi } from "vitest"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { makePool, serverUrl, serverVariables, uniqueName } from "../support/pgPool.js"

type Options = PgPool.PgPoolOptions

/** Bad values of each option, and words of what is allowed. */
const bad: { readonly [K in keyof Options]: readonly [values: Array<unknown>, allowed: RegExp] } = {
  name: [["", " ", "x".repeat(101), 5, null], /a text of 1 to 100 characters on one line/],
  maxsize: [[0, -1, 1.5, NaN, "3"], /whole number of at least 1/],
  maxwait: [
    [-1, 0.2, "200 micros", Infinity, NaN, "soon", "-1 seconds", "automatic"],
    /duration of zero, or of a millisecond or more.*, or "auto"/
  ],
  maxoverflow: [[0, 2.5, 1], /whole number of at least \d/],
  whenFull: [["fast", ""], /"wait" or "fail"/],
  acquireTimeout: [[-1, Infinity, "soon"], /duration of zero, or of a millisecond or more/],
  expires: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  minsize: [[-1, 0.5, 11], /whole number from 0 to 10/],
  idleTimeout: [[0, -1, "soon"], /duration of a millisecond or more/],
  maxUses: [[0, 1.5], /whole number of at least 1/],
  expiresJitter: [[-0.1, 1, NaN], /from 0 up to, but not including, 1/],
  maxWaiting: [[0, 0.5], /whole number of at least 1/],
  connectTimeout: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  connectConcurrency: [[0, 0.5], /whole number of at least 1/],
  connectRetry: [["often"], /a Schedule/],
  outageTimeout: [[-1, Infinity, "soon"], /duration of zero, or of a millisecond or more/],
  validateAfterIdle: [[-1, Infinity, "soon"], /duration of zero, or of a millisecond or more/],
  reset: [["all", ""], /"transaction", "session" or "none"/],
  prepare: [[0, -1, 1.5, NaN, "yes"], /whole number of at least 1/],
  multiplex: [[0, -1, 1.5, NaN, "yes"], /whole number of at least 1/],
  cleanupTimeout: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  closeTimeout: [[-1, Infinity, "soon"], /duration of zero, or of a millisecond or more/],
  queryTimeout: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  statementTimeout: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  lockTimeout: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  idleInTransactionTimeout: [[0, -1, Infinity, "soon"], /duration of a millisecond or more/],
  warm: [[-1, 0.5, 11], /whole number from 0 to 10/],
  leakThreshold: [[0, -1, "soon"], /duration of a millisecond or more/],
  port: [[0, 65536, 1.5, null, "db"], /whole number from 1 to 65535/],
  path: [["relative/path"], /absolute path of a Unix socket/],
  ssl: [["require"], /true, false, or an object of TLS options/],
  sslNegotiation: [["yes"], /"postgres" or "direct"/],
  requireAuth: [["scram", 5, null, "md5,!password"], /one or more of password, .*scram-sha-256/],
  maxConnections: [[5], /maxsize.*maxoverflow/],
  minConnections: [[5], /minsize/],
  connectionTTL: [["1 minute"], /expires/]
}

/** Of which nothing more is known than their type. What comes from the environment is text. */
const mistyped: { readonly [K in keyof Options]: readonly [values: Array<unknown>, allowed: RegExp] } = {
  host: [[5, null], /a string/],
  database: [[5, null], /a string/],
  username: [[5, null], /a string/],
  applicationName: [[5, null], /a string/],
  onConnect: [["SELECT 1", null], /a function/],
  stream: [["tcp", null], /a function/],
  transformResultNames: [["camel", null], /a function/],
  transformQueryNames: [[true, null], /a function/],
  transformJson: [["yes", null], /true or false/],
  eager: [["yes", 1, null], /true or false/],
  advice: [["no", 0, null], /true or false/],
  spanAttributes: [[5, null], /an object/]
}

const shown = (value: unknown) => typeof value === "number" && !Number.isFinite(value) ? "" : String(value)

/** With these something would be opened at once. */
const start = { warm: 1, eager: true } as const

const dieWith = (build: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.exit(build), (exit) => {
    const defects = Exit.isFailure(exit) ? [...Cause.defects(exit.cause)] : []
    assert.strictEqual(defects.length, 1)
    const [defect] = defects
    assert.isTrue(Cause.isIllegalArgumentException(defect), String(defect))
    return (defect as Error).message
  })

const failWith = (build: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.flip(build), (error) => {
    assert.isTrue(ConfigError.isConfigError(error), String(error))
    return String(error)
  })

describe("R26: bad options", () => {
  for (const [option, [values, allowed]] of Object.entries({ ...bad, ...mistyped })) {
    it.scopedLive(`${option}: an error that names option, value and what is allowed; nothing starts`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        for (const value of values) {
          const options = {
            url: proxy.url,
            ...start,
            ...(option === "maxoverflow" ? { maxsize: 2 } : {}),
            [option]: value
          }
          const build = (layer: Layer.Layer<any, any>) => Effect.scoped(Layer.build(layer))
          const messages = [
            yield* dieWith(build(PgPool.layer(options as Options))),
            yield* failWith(build(PgPool.layerConfig(Config.succeed(options as Options)))),
            yield* failWith(build(PgPool.layerConfig(
              Object.fromEntries(Object.entries(options).map(([key, value]) => [key, Config.succeed(value)])) as never
            )))
          ]
          for (const message of messages) {
            assert.include(message, option)
            assert.include(message, shown(value))
            assert.match(message, allowed)
          }
        }
        assert.strictEqual(proxy.accepted, 0)
      }))
  }

  it.scopedLive("a NUL character in what a session is opened with, which would look like an outage", () =>
    Effect.gen(function*() {
      const build = (options: Options) => Effect.scoped(Layer.build(PgPool.layer(options)))
      for (const option of ["username", "database", "applicationName"]) {
        const message = yield* dieWith(build({ url: serverUrl, [option]: "a\0b" }))
        assert.strictEqual(message, `${option}: "a\\u0000b" is not allowed, it must be without a NUL character`)
      }
      for (const [end, option] of [["%00", "database"], ["?options=-c%20a%00b", "options"]]) {
        const url = Redacted.make(`${Redacted.value(serverUrl)}${end}`)
        assert.match(yield* dieWith(build({ url })), new RegExp(`^${option}: .* without a NUL character$`))
      }
    }))

  it.effect("a good value of each option is taken", () =>
    Effect.gen(function*() {
      const good: Options = {
        url: serverUrl,
        maxsize: 2,
        maxwait: "200 millis",
        maxoverflow: 20,
        whenFull: "fail",
        acquireTimeout: 0,
        expires: "10 minutes",
        minsize: 0,
        idleTimeout: "1 minute",
        maxUses: 1,
        expiresJitter: 0,
        maxWaiting: 1,
        connectTimeout: 1,
        connectConcurrency: 1,
        outageTimeout: 0,
        validateAfterIdle: 0,
        reset: "session",
        prepare: 1,
        cleanupTimeout: 1,
        closeTimeout: 0,
        queryTimeout: 1,
        statementTimeout: 1,
        lockTimeout: 1,
        idleInTransactionTimeout: 1,
        warm: 0,
        leakThreshold: 1,
        port: 65535
      }
      const pool = Context.get(yield* Layer.build(PgPool.layer(good)), PgPool.PgPool)
      assert.deepInclude(yield* pool.stats, { maxsize: 2, maxoverflow: 20, size: 0 })
    }).pipe(Effect.scoped))

  it.effect("the names of stock PgClient don't compile", () =>
    Effect.gen(function*() {
      // @ts-expect-error: there are maxsize and maxoverflow instead
      yield* dieWith(Effect.scoped(Layer.build(PgPool.layer({ maxConnections: 5 }))))
      // @ts-expect-error: there is minsize instead
      yield* dieWith(Effect.scoped(Layer.build(PgPool.layer({ minConnections: 5 }))))
      // @ts-expect-error: there is expires instead
      yield* dieWith(Effect.scoped(Layer.build(PgPool.layer({ connectionTTL: "1 minute" }))))
    }))

  it.effect("a bad URL or password is not shown", () =>
    Effect.gen(function*() {
      const options: Array<object> = [
        { url: Redacted.make("postgres://ada:s3cret@db:port/shop") },
        { url: Redacted.make("postgres://ada:s3cret@db:5432:99/shop") },
        { url: serverUrl, password: "s3cret" }
      ]
      for (const option of options) {
        const messages = [
          yield* dieWith(Effect.scoped(Layer.build(PgPool.layer(option)))),
          yield* failWith(Effect.scoped(Layer.build(PgPool.layerConfig(Config.succeed(option)))))
        ]
        for (const message of messages) {
          assert.match(message, /url|password/)
          assert.notInclude(message, "s3cret")
        }
      }
    }))

  it.effect("a URL that is no Redacted is a bad option too, and not shown", () =>
    Effect.gen(function*() {
      const options = { url: "postgres://ada:s3cret@db/shop" as never }
      const message = yield* dieWith(Effect.scoped(Layer.build(PgPool.layer(options))))
      assert.include(message, "url")
      assert.notInclude(message, "s3cret")
    }))

  it.effect("a socket's path beside a host is a bad option: only one of them can be meant", () =>
    Effect.gen(function*() {
      const options = { host: "db", path: "/run/postgresql" }
      const message = yield* dieWith(Effect.scoped(Layer.build(PgPool.layer(options))))
      assert.match(message, /path: .* must be left out where host is given/)
    }))

  it.effect("an option of a method that is none is a defect, and nothing happens", () =>
    Effect.gen(function*() {
      const pool = Context.get(yield* Layer.build(PgPool.layer({ url: serverUrl })), PgPool.PgPool)
      assert.include(yield* dieWith(pool.evict("1 minute" as never)), `evict: "1 minute" is not allowed`)
      assert.include(yield* dieWith(pool.evict({ over: "soon" as never })), `over: "soon" is not allowed`)
      assert.include(yield* dieWith(pool.resize(5 as never)), "resize: 5 is not allowed")
    }).pipe(Effect.scoped))

  it.effect("a resize to a bad limit is a defect that names it, and changes nothing", () =>
    Effect.gen(function*() {
      const pool = Context.get(yield* Layer.build(PgPool.layer({ url: serverUrl, maxsize: 2 })), PgPool.PgPool)
      assert.include(yield* dieWith(pool.resize({ maxsize: 0 })), "maxsize")
      assert.include(yield* dieWith(pool.resize({ maxoverflow: 1 })), "maxoverflow")
      assert.deepInclude(yield* pool.stats, { maxsize: 2, maxoverflow: 20 })
    }).pipe(Effect.scoped))
})

describe("R26: layerConfig", () => {
  it.scopedLive("takes each option from a Config", () =>
    Effect.gen(function*() {
      const app = uniqueName()
      const provider = ConfigProvider.fromMap(new Map([["DB", Redacted.value(serverUrl)], ["SIZE", "3"]]))
      const layer = PgPool.layerConfig({
        url: Config.redacted("DB"),
        maxsize: Config.integer("SIZE"),
        maxoverflow: Config.integer("MAX").pipe(Config.withDefault(7)),
        applicationName: Config.succeed(app),
        onConnect: Config.succeed(() => Effect.void)
      })
      const context = yield* Layer.build(layer).pipe(Effect.withConfigProvider(provider))
      const sql = Context.get(context, PgClient.PgClient)
      assert.deepStrictEqual(yield* sql`SHOW application_name`, [{ application_name: app }])
      assert.deepInclude(yield* Context.get(context, PgPool.PgPool).stats, { maxsize: 3, maxoverflow: 7 })
    }))

  it.effect("a missing key is a ConfigError", () =>
    Effect.gen(function*() {
      const build = Effect.scoped(Layer.build(PgPool.layerConfig({ url: Config.redacted("NO_SUCH_KEY") })))
      assert.include(yield* failWith(build), "NO_SUCH_KEY")
    }))
})

describe("R26: PgPoolLayer", () => {
  const build = (entries: Record<string, string>) =>
    Layer.build(PgPoolLayer).pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries))))
    )
  const url = new URL(inject("pgUrl"))

  it.scopedLive("from DATABASE_URL, which wins over PG*", () =>
    Effect.gen(function*() {
      const context = yield* build({ DATABASE_URL: url.href, PGHOST: "nowhere.invalid", PGDATABASE: "nowhere" })
      const sql = Context.get(context, PgClient.PgClient)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))

  it.scopedLive("from PG*", () =>
    Effect.gen(function*() {
      const sql = Context.get(yield* build(serverVariables), PgClient.PgClient)
      assert.deepStrictEqual(yield* sql`SELECT current_user AS name`, [{ name: url.username }])
      assert.deepInclude(sql.config, { host: url.hostname, port: Number(url.port), database: "postgres" })
    }))

  it.scopedLive("each option of the pool as PGPOOL_*", () =>
    Effect.gen(function*() {
      const app = uniqueName()
      const context = yield* build({
        ...serverVariables,
        PGPOOL_MAXSIZE: "1",
        PGPOOL_MAXWAIT: "10 millis",
        PGPOOL_MAXOVERFLOW: "2",
        PGPOOL_EXPIRES: "600000",
        PGPOOL_ACQUIRE_TIMEOUT: "1 second",
        PGPOOL_MINSIZE: "0",
        PGPOOL_IDLE_TIMEOUT: "1 minute",
        PGPOOL_MAX_USES: "100",
        PGPOOL_EXPIRES_JITTER: "0.1",
        PGPOOL_MAX_WAITING: "5",
        PGPOOL_CONNECT_TIMEOUT: "5 seconds",
        PGPOOL_CONNECT_CONCURRENCY: "2",
        PGPOOL_OUTAGE_TIMEOUT: "1 second",
        PGPOOL_VALIDATE_AFTER_IDLE: "1 second",
        PGPOOL_RESET: "session",
        PGPOOL_PREPARE: "20",
        PGPOOL_CLEANUP_TIMEOUT: "500",
        PGPOOL_CLOSE_TIMEOUT: "100",
        PGPOOL_QUERY_TIMEOUT: "20 seconds",
        PGPOOL_STATEMENT_TIMEOUT: "9 seconds",
        PGPOOL_LOCK_TIMEOUT: "8000",
        PGPOOL_IDLE_IN_TRANSACTION_TIMEOUT: "7 seconds",
        PGPOOL_EAGER: "true",
        PGPOOL_WARM: "1",
        PGPOOL_LEAK_THRESHOLD: "1 minute",
        PGPOOL_APPLICATION_NAME: app
      })
      const sql = Context.get(context, PgClient.PgClient)
      const settings = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "application_name"
      ]
      const shown = yield* Effect.forEach(settings, (setting) => sql.unsafe(`SHOW ${setting}`).values)
      assert.deepStrictEqual(shown.flat(2), ["9s", "8s", "7s", app])
      assert.deepInclude(yield* Context.get(context, PgPool.PgPool).stats, { maxsize: 1, maxoverflow: 2 })
    }))

  for (const [text, count] of [["true", 1], ["7", 1], ["false", 0]] as const) {
    it.scopedLive(`PGPOOL_PREPARE=${text}`, () =>
      Effect.gen(function*() {
        const context = yield* build({ DATABASE_URL: url.href, PGPOOL_MAXOVERFLOW: "1", PGPOOL_PREPARE: text })
        const sql = Context.get(context, PgClient.PgClient)
        yield* sql`SELECT ${1}::int`
        assert.lengthOf(yield* sql`SELECT name FROM pg_prepared_statements`, count)
      }))
  }

  for (const [text, shared] of [["true", true], ["yes", true], ["40", true], ["1", false], ["off", false]] as const) {
    it.scopedLive(`PGPOOL_MULTIPLEX=${text}`, () =>
      Effect.gen(function*() {
        const context = yield* build({ DATABASE_URL: url.href, PGPOOL_MAXSIZE: "2", PGPOOL_MULTIPLEX: text })
        const sql = Context.get(context, PgClient.PgClient)
        yield* Effect.all([sql`SELECT pg_sleep(0.1)`, sql`SELECT pg_sleep(0.1)`], { concurrency: "unbounded" })
        assert.deepInclude(yield* Context.get(context, PgPool.PgPool).stats, { opened: shared ? 1 : 2 })
      }))
  }

  it.scopedLive("PGPOOL_MAXWAIT: by default \"auto\", which opens what is needed at once, and a duration waits", () =>
    Effect.gen(function*() {
      for (const [maxwait, opening] of [[{}, 4], [{ PGPOOL_MAXWAIT: "1 minute" }, 2]] as const) {
        const context = yield* build({ ...serverVariables, PGPOOL_MAXSIZE: "2", ...maxwait })
        const pool = Context.get(context, PgPool.PgPool)
        yield* Effect.forEach(Array.from({ length: 4 }), () => Effect.forkScoped(pool.use(() => Effect.void)))
        yield* Effect.yieldNow()
        assert.deepInclude(yield* pool.stats, { opening })
      }
    }))

  it.scopedLive("PGPOOL_WHEN_FULL=fail", () =>
    Effect.gen(function*() {
      const limits = { PGPOOL_MAXSIZE: "1", PGPOOL_MAXOVERFLOW: "1", PGPOOL_MAXWAIT: "10" }
      const context = yield* build({ ...serverVariables, ...limits, PGPOOL_WHEN_FULL: "fail" })
      const pool = Context.get(context, PgPool.PgPool)
      yield* pool.get
      assert.deepInclude(yield* Effect.flip(pool.use(() => Effect.void)), { _tag: "PoolExhausted", limit: "maxwait" })
    }))

  it.scopedLive("from the process's environment", () =>
    Effect.gen(function*() {
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      vi.stubEnv("DATABASE_URL", url.href)
      vi.stubEnv("PGPOOL_MAXSIZE", "3")
      vi.stubEnv("PGPOOL_ACQUIRE_TIMEOUT", "1 second")
      const context = yield* Layer.build(PgPoolLayer).pipe(Effect.withConfigProvider(ConfigProvider.fromEnv()))
      assert.strictEqual((yield* Context.get(context, PgPool.PgPool).stats).maxsize, 3)
      assert.deepStrictEqual(yield* Context.get(context, PgClient.PgClient)`SELECT 1 AS one`, [{ one: 1 }])
    }))

  for (const key of ["PGPOOL_MAXSIZ", "PGPOOL_MAX_SIZE", "PGPOOL_ACQUIRE", "PGPOOL_MAXSIZE_", "PGPOOL_"]) {
    it.scoped(`from the process's environment: ${key} is no option`, () =>
      Effect.gen(function*() {
        yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
        vi.stubEnv("DATABASE_URL", url.href)
        vi.stubEnv("PGPOOL_ACQUIRE_TIMEOUT", "1 second")
        vi.stubEnv(key, "1")
        const build = Effect.scoped(Layer.build(PgPoolLayer)).pipe(Effect.withConfigProvider(ConfigProvider.fromEnv()))
        assert.include(yield* failWith(build), key)
      }))
  }

  it.scoped("what Kubernetes says of services named pgpool is no option, and passes", () =>
    Effect.gen(function*() {
      const ofService = (service: string): Record<string, string> => ({
        [`${service}_SERVICE_HOST`]: "10.96.12.34",
        [`${service}_SERVICE_PORT`]: "9999",
        [`${service}_SERVICE_PORT_PGPOOL_PORT`]: "9999",
        [`${service}_PORT`]: "tcp://10.96.12.34:9999",
        ...Object.fromEntries(["TCP", "UDP", "SCTP"].flatMap((protocol) => [
          [`${service}_PORT_9999_${protocol}`, "tcp://10.96.12.34:9999"],
          ...["PROTO", "PORT", "ADDR"].map((part) => [`${service}_PORT_9999_${protocol}_${part}`, "x"])
        ]))
      })
      const entries = { ...ofService("PGPOOL"), ...ofService("PGPOOL_PRIMARY"), ...ofService("PGPOOL_RO_2") }
      yield* build({ DATABASE_URL: url.href, ...entries })
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      for (const [key, value] of Object.entries({ DATABASE_URL: url.href, ...entries })) vi.stubEnv(key, value)
      yield* Layer.build(PgPoolLayer).pipe(Effect.withConfigProvider(ConfigProvider.fromEnv()))
      for (
        const key of [
          ...["PGPOOL_HOST", "PGPOOL_SERVICE", "PGPOOL_PORTS", "PGPOOL_PORT_TCP", "PGPOOL_PORT_9999"],
          ...["PGPOOL_PORT_9999_TCP_", "PGPOOL_SERVICE_HOSTS", "PGPOOL_SERVICE_PORT_", "PGPOOL_service_host"],
          // A number of somebody's, and not the URL of Kubernetes.
          ...["PGPOOL_PORT", "PGPOOL_SERVER_PORT"]
        ]
      ) {
        const message = yield* failWith(Effect.scoped(build({ DATABASE_URL: url.href, ...entries, [key]: "1" })))
        assert.include(message, key)
      }
    }))

  it.scoped("PGREQUIREAUTH is lost for no password that looks like a parameter of the URL", () =>
    Effect.gen(function*() {
      const entries = { DATABASE_URL: "postgres://ada:x&require_auth=@db/shop", PGREQUIREAUTH: "nonsense" }
      assert.include(yield* failWith(Effect.scoped(build(entries))), "PGREQUIREAUTH")
    }))

  it.effect("an unknown key is a ConfigError that names it and the known ones", () =>
    Effect.gen(function*() {
      for (const key of ["PGPOOL_MAXSIZ", "PGPOOL_MAX_SIZE", "PGPOOL_maxsize", "PGPOOL_"]) {
        const message = yield* failWith(Effect.scoped(build({ DATABASE_URL: url.href, [key]: "1" })))
        assert.include(message, key)
        assert.include(message, "PGPOOL_MAXSIZE")
      }
    }))

  const keyOf = (option: string) => `PGPOOL_${option.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
  const notFromOutside = new Set(
    [
      ...["connectRetry", "maxConnections", "minConnections", "connectionTTL", "path", "port", "ssl", "sslNegotiation"],
      "requireAuth"
    ]
  )

  for (const [option, [values, allowed]] of Object.entries(bad)) {
    if (notFromOutside.has(option)) continue
    it.effect(`a bad ${keyOf(option)} is a ConfigError that names key, value and what is allowed`, () =>
      Effect.gen(function*() {
        for (const value of values.filter((value) => value === value)) {
          const entries = { DATABASE_URL: url.href, [keyOf(option)]: String(value) }
          if (option === "maxoverflow") Object.assign(entries, { PGPOOL_MAXSIZE: "2" })
          // "3" is a number here, and "yes" says yes.
          if (option === "maxsize" && value === "3") continue
          // What comes from the environment is text.
          if (option === "name" && typeof value !== "string") continue
          if ((option === "prepare" || option === "multiplex") && value === "yes") continue
          const message = yield* failWith(Effect.scoped(build(entries)))
          assert.include(message, keyOf(option))
          assert.include(message, shown(value))
          assert.match(message, allowed)
        }
      }))
  }

  it.effect("what is no number or no yes and no is a ConfigError", () =>
    Effect.gen(function*() {
      for (const key of ["PGPOOL_MAXSIZE", "PGPOOL_EAGER", "PGPORT"]) {
        const message = yield* failWith(Effect.scoped(build({ PGHOST: "localhost", [key]: "a dozen" })))
        assert.include(message, key)
        if (key === "PGPOOL_MAXSIZE") assert.include(message, "must be a whole number of at least 1")
      }
      const badly = Effect.scoped(build({ PGHOST: "localhost", PGPOOL_MAXSIZE: "1.2.3" }))
      assert.include(yield* failWith(badly), "1.2.3")
      assert.include(yield* failWith(Effect.scoped(build({ PGHOST: "localhost", PGPORT: "0" }))), "PGPORT")
    }))

  it.effect("secrets are not shown", () =>
    Effect.gen(function*() {
      const messages = [
        yield* failWith(Effect.scoped(build({ DATABASE_URL: "postgres://ada:s3cret@db:port/shop" }))),
        yield* failWith(Effect.scoped(build({ DATABASE_URL: "postgres://ada:s3cret@db/shop", PGPOOL_MAXSIZE: "0" }))),
        yield* failWith(Effect.scoped(build({ PGPASSWORD: "s3cret", PGPOOL_MAXSIZE: "0" })))
      ]
      assert.include(messages[0], "DATABASE_URL")
      for (const message of messages) assert.notInclude(message, "s3cret")
    }))
})

describe("R26: secrets", () => {
  it.scopedLive("secrets are in no error and in no log of a pool that can't connect", () =>
    Effect.gen(function*() {
      const secret = new URL(inject("pgUrl"))
      secret.password = "s3cret"
      const { sql } = yield* makePool({ url: Redacted.make(secret.href) })
      const exits: Array<Exit.Exit<unknown, unknown>> = yield* Effect.all([
        Effect.exit(sql`SELECT 1`),
        Effect.exit(Stream.runDrain(sql.listen("channel"))),
        Effect.exit(sql.withTransaction(Effect.void))
      ])
      for (const exit of exits) {
        assert.isTrue(Exit.isFailure(exit))
        const text = Exit.isFailure(exit) ? Cause.pretty(exit.cause, { renderErrorCause: true }) : ""
        assert.notInclude(`${text} ${JSON.stringify(exit)}`, "s3cret")
      }
      assert.notInclude(`${JSON.stringify(sql.config)} ${String(sql.config)}`, "s3cret")
    }))
})
