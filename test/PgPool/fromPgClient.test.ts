import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Config, Context, Duration, Effect, Fiber, Layer, Redacted, Schedule, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import * as Pg from "pg"
import { inject } from "vitest"
import { promptly, serverUrl, uniqueName, watch } from "../support/pgPool.js"

type Config = PgClient.PgClientConfig

const stock = (config: Config) => Effect.map(Layer.build(PgClient.layer(config)), Context.get(PgClient.PgClient))

const ours = (config: Config) =>
  Effect.map(Layer.build(PgPool.layer(PgPool.fromPgClientConfig(config))), Context.get(PgClient.PgClient))

const clients = { stock, ours }

const server = new URL(inject("pgUrl"))

const url = (change: (url: URL) => void) => {
  const changed = new URL(server)
  change(changed)
  return Redacted.make(changed.href)
}

const separate = {
  host: server.hostname,
  port: Number(server.port),
  database: server.pathname.slice(1),
  username: server.username,
  password: Redacted.make(server.password)
}

/** Each of them would keep a session away, or send it to another place. */
const misleading = {
  host: "nowhere.invalid",
  port: 1,
  database: "nowhere",
  username: "nobody",
  password: Redacted.make("wrong")
}

const shouting: Pg.CustomTypesConfig = {
  getTypeParser:
    ((oid: number, format: "text") =>
      oid === 25 ? (text: string) => text.toUpperCase() : Pg.types.getTypeParser(oid, format)) as never
}

/** Old configurations of which one of the two clients could make something else. */
const table: Record<string, Config> = {
  "a URL": { url: serverUrl },
  "settings one by one": separate,
  "the URL wins over all of them": { url: serverUrl, ...misleading },
  "a URL without a database: the option has no effect": {
    url: url((url) => url.pathname = ""),
    database: "template1"
  },
  "ssl: the URL wins": { url: url((url) => url.searchParams.set("sslmode", "disable")), ssl: true },
  "ssl: false where the URL is silent": { url: serverUrl, ssl: false },
  "an application name": { url: serverUrl, applicationName: "mine" },
  "an application name: the URL wins": {
    url: url((url) => url.searchParams.set("application_name", "its")),
    applicationName: "mine"
  },
  "a name to fall back to": { url: url((url) => url.searchParams.set("fallback_application_name", "fallback")) },
  "parameters of the URL": {
    url: Redacted.make(
      `postgresql://a.invalid:1/${separate.database}?host=${separate.host}&port=${separate.port}` +
        `&user=${separate.username}&password=${Redacted.value(separate.password)}`
    ),
    ...misleading
  },
  "a path, which has no effect": { ...separate, path: "/nowhere" },
  "transforms": {
    url: serverUrl,
    transformResultNames: Str.snakeToCamel,
    transformQueryNames: Str.camelToSnake,
    transformJson: false
  },
  "types": { url: serverUrl, types: shouting }
}

describe("R27: an old configuration means what it meant", () => {
  for (const [title, config] of Object.entries(table)) {
    it.scopedLive(title, () =>
      Effect.gen(function*() {
        const [theirs, mine] = yield* Effect.forEach(Object.values(clients), (make) =>
          Effect.flatMap(make(config), (sql) =>
            sql`SELECT current_database()::text AS its_database, current_user::text AS its_user,
              current_setting('application_name') AS its_name, inet_server_port() AS its_port,
              '{"some_key": 1}'::json AS ${sql("someJson")}`))
        assert.deepStrictEqual(mine, theirs)
      }))
  }

  for (const [config, limit] of [[{ maxConnections: 2 }, 2], [{}, 10], [{ maxConnections: 0 }, 10]] as const) {
    for (const [name, make] of Object.entries(clients)) {
      it.scopedLive(`${name}: ${JSON.stringify(config)} is a limit of ${limit}, up to which nobody waits`, () =>
        Effect.gen(function*() {
          const applicationName = uniqueName()
          const server = yield* watch()
          const sql = yield* make({ url: serverUrl, applicationName, ...config })
          const sleepers = yield* Effect.forEach(
            Array.from({ length: limit + 3 }),
            () => Effect.fork(sql`SELECT pg_sleep(20)`)
          )
          yield* server.until(applicationName, (sessions) => sessions.length === limit)
          yield* Effect.sleep("300 millis")
          assert.lengthOf(yield* server.sessions(applicationName), limit)
          // Those who waited come after them. Nobody is to be left: there that would be for the rest of the 20 seconds.
          const kill = server.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
            [applicationName]
          )
          yield* Effect.race(
            Fiber.awaitAll(sleepers),
            Effect.repeat(kill, Schedule.spaced("50 millis"))
          )
        }))
    }
  }

  for (const [name, make] of Object.entries(clients)) {
    it.scopedLive(`${name}: unused connections go, down to minConnections`, () =>
      Effect.gen(function*() {
        const server = yield* watch()
        for (const minConnections of [undefined, 1]) {
          const applicationName = uniqueName()
          const options = { url: serverUrl, applicationName, idleTimeout: "300 millis", minConnections } as const
          const sql = yield* make(options)
          yield* Effect.all([sql`SELECT pg_sleep(0.1)`, sql`SELECT pg_sleep(0.1)`], { concurrency: 2 })
          yield* server.until(applicationName, (sessions) => sessions.length === (minConnections ?? 0))
        }
      }))

    it.scopedLive(`${name}: connectTimeout also bounds the wait for a free connection`, () =>
      Effect.gen(function*() {
        const sql = yield* make({ url: serverUrl, maxConnections: 1, connectTimeout: "1 second" })
        yield* sql.reserve
        const [waited] = yield* Effect.timed(Effect.flip(sql`SELECT 1`))
        assert.isTrue(Duration.between(waited, { minimum: "900 millis", maximum: "10 seconds" }), String(waited))
      }))
  }

  it("each time and limit by our names; what is off there stays off, or is as ever here", () => {
    const of = (config: Config) => {
      const { acquireTimeout, connectTimeout, expires, idleTimeout, maxoverflow, maxsize, minsize } = PgPool
        .fromPgClientConfig(config)
      return { acquireTimeout, connectTimeout, expires, idleTimeout, maxoverflow, maxsize, minsize }
    }
    const none: ReturnType<typeof of> = {
      acquireTimeout: undefined,
      connectTimeout: undefined,
      expires: undefined,
      idleTimeout: "10 seconds",
      maxoverflow: 10,
      maxsize: 10,
      minsize: 0
    }
    assert.deepStrictEqual(of({}), none)
    assert.deepStrictEqual(of({ connectTimeout: 0, connectionTTL: 0, idleTimeout: 0, maxConnections: 0 }), none)
    assert.deepStrictEqual(of({ idleTimeout: "0 millis", connectionTTL: Duration.zero }), {
      ...none,
      idleTimeout: undefined
    })
    assert.deepStrictEqual(
      of({
        maxConnections: 3,
        minConnections: 5,
        connectTimeout: "2 seconds",
        idleTimeout: "1 minute",
        connectionTTL: "1 hour"
      }),
      {
        acquireTimeout: "2 seconds",
        connectTimeout: "2 seconds",
        expires: "1 hour",
        idleTimeout: "1 minute",
        maxoverflow: 3,
        maxsize: 3,
        minsize: 3
      }
    )
  })

  it.scopedLive("one from a Config", () =>
    Effect.gen(function*() {
      const old: Config.Config.Wrap<PgClient.PgClientConfig> = {
        url: Config.succeed(serverUrl),
        maxConnections: Config.succeed(3)
      }
      const layer = PgPool.layerConfig(Config.map(Config.unwrap(old), PgPool.fromPgClientConfig))
      const pool = Context.get(yield* Layer.build(layer), PgPool.PgPool)
      assert.deepInclude(yield* pool.stats, { maxsize: 3, maxoverflow: 3 })
    }))

  it.scopedLive("a URL that is none is told where the pool is made", () =>
    Effect.gen(function*() {
      for (const text of ["postgresql://db:port/app", undefined]) {
        const options = PgPool.fromPgClientConfig({ url: Redacted.make(text as string) })
        const error = yield* Effect.flip(Layer.build(PgPool.layerConfig(Config.succeed(options))))
        assert.match(String(error), /url: .* is not allowed/)
      }
    }))

  it.scopedLive("the pool is there while the server is down, with eager it fails as PgClient.layer does", () =>
    Effect.gen(function*() {
      const old = { url: Redacted.make("postgresql://127.0.0.1:1/app") }
      yield* promptly(Layer.build(PgPool.layer(PgPool.fromPgClientConfig(old))))
      yield* Effect.flip(stock(old))
      yield* Effect.flip(
        Layer.build(PgPool.layer({ ...PgPool.fromPgClientConfig(old), eager: true, connectTimeout: "1 second" }))
      )
    }))
})
