import { Reactivity } from "@effect/experimental"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Redacted, Stream } from "effect"
import { PgError } from "effect-pgpool"
import { makePool, serverUrl, uniqueName, watch } from "../support/pgPool.js"
import { isSilent, refusalOf, taken } from "../support/targetUrl.js"

describe("R27: parameters of the URL", () => {
  const withQuery = (query: string) => `postgres://ada:s3cret@db/shop?${query}`

  it("nothing comes to the driver that is not on our list", () => {
    const known = [
      "application_name",
      "database",
      "enableChannelBinding",
      "host",
      "keepAlive",
      "keepAliveInitialDelayMillis",
      "options",
      "port",
      "ssl",
      "sslnegotiation",
      "user"
    ]
    for (
      const name of [
        ...["query_timeout", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"],
        ...["binary", "stream", "types", "Promise", "connection", "connectionString", "pipeline", "keepAlive", "max"],
        ...["connectionTimeoutMillis", "scramMaxIterations", "enableChannelBinding", "client_encoding", "__proto__"],
        ...["constructor", "toString", "ssl_min_protocol_version", "anything", "hasOwnProperty"]
      ]
    ) {
      const { client, target } = taken(withQuery(`options=-c%20jit=off&${name}=1`))
      const isTimeout = name.endsWith("_timeout")
      const isSent = isTimeout && name !== "query_timeout"
      assert.deepStrictEqual(Object.keys(client).sort(), isSent ? [...known, name].sort() : known, name)
      assert.isFalse(client["enableChannelBinding"])
      assert.strictEqual(target.warnings.length, isTimeout ? 0 : 1, name)
    }
  })

  it("times: in seconds where libpq has them so, else in milliseconds; zero is off; an option wins", () => {
    const { client, target } = taken(withQuery(
      "connect_timeout=7&query_timeout=200&statement_timeout=3000&lock_timeout=0&idle_in_transaction_session_timeout=5"
    ))
    assert.deepStrictEqual([target.connectTimeout, target.queryTimeout, target.setupSql], [7000, 200, undefined])
    assert.deepInclude(client, {
      statement_timeout: "3000",
      lock_timeout: "0",
      idle_in_transaction_session_timeout: "5"
    })
    const off = taken(withQuery("connect_timeout=0&query_timeout=0")).target
    assert.deepStrictEqual([off.connectTimeout, off.queryTimeout, off.setupSql], [2 ** 31 - 1, Infinity, undefined])
    const options = { connectTimeout: 1, queryTimeout: 2, statementTimeout: 3 }
    const won = taken(withQuery("connect_timeout=7&query_timeout=200&statement_timeout=3000"), options)
    const ours = won.target
    assert.deepStrictEqual([ours.connectTimeout, ours.queryTimeout, ours.setupSql], [1, 2, "SET statement_timeout = 3"])
    assert.notProperty(won.client, "statement_timeout")
    const none = taken(withQuery("connect_timeout=&query_timeout=&statement_timeout="))
    assert.deepStrictEqual([none.target.connectTimeout, none.target.queryTimeout], [5000, Infinity])
    assert.notProperty(none.client, "statement_timeout")
  })

  it("keepalives, names of the program, settings of the session", () => {
    const { client } = taken(withQuery("keepalives=0&keepalives_idle=30&fallback_application_name=b"))
    assert.deepInclude(client, { keepAlive: false, keepAliveInitialDelayMillis: 30_000, application_name: "b" })
    assert.deepInclude(taken(withQuery("application_name=a&fallback_application_name=b&options=-c%20a=b")).client, {
      application_name: "a",
      options: "-c a=b",
      keepAlive: true
    })
    assert.strictEqual(taken(withQuery("application_name=a"), { applicationName: "c" }).client["application_name"], "c")
  })

  it("a bad value is refused by name", () => {
    for (
      const parameter of [
        ...["connect_timeout=5s", "connect_timeout=-1", "connect_timeout=99999999999", "query_timeout=1e3"],
        ...["query_timeout=Infinity", "statement_timeout=5s", "statement_timeout=2147483648", "lock_timeout=0.5"],
        ...["idle_in_transaction_session_timeout=soon", "keepalives=yes", "keepalives_idle=1m", "sslmode=verify_full"],
        ...["sslmode=VERIFY-FULL", "sslnegotiation=Direct", "target_session_attrs=master", "load_balance_hosts=yes"],
        ...["channel_binding=on", "require_auth=scram", "port=5432x"]
      ]
    ) {
      const message = refusalOf(withQuery(parameter))
      const [name] = parameter.split("=")
      const words = { target_session_attrs: "targetSessionAttrs", load_balance_hosts: "loadBalanceHosts" }
      assert.include(message, (words as Record<string, string>)[name] ?? name)
      isSilent(message, ["ada", "s3cret"])
    }
  })

  it("a parameter of TLS in another case or with other separators is refused by name", () => {
    for (
      const name of [
        ...[
          "sslMode",
          "SSLMODE",
          "ssl_mode",
          "ssl-mode",
          "SslMode",
          "ssl.mode",
          "Ssl",
          "SSL",
          "sslRootCert",
          "ssl_cert"
        ],
        ...["ssl_root_cert", "sslKey", "sslNegotiation", "useLibpqCompat", "use_libpq_compat", "channelBinding"],
        ...["channelbinding", "requireAuth", "require-auth", "REQUIRE_AUTH"]
      ]
    ) assert.include(refusalOf(withQuery(`${name}=require`)), JSON.stringify(name))
  })

  it("what is not known is named in one warning, and nothing of its value", () => {
    const names = [
      ...["pgbouncer", "connection_limit", "schema", "pool_timeout", "sslaccept", "sslcrl", "hostaddr", "service"],
      ...["keepalives_count", "tcp_user_timeout", "gssencmode", "max", "statement_cache_size", "sslpassword", "binary"]
    ]
    const { target } = taken(withQuery(names.map((name) => `${name}=Xyz`).join("&")))
    assert.strictEqual(target.warnings.length, 1)
    for (const name of names) assert.include(target.warnings[0], name)
    assert.notInclude(target.warnings[0], "Xyz")
  })

  it("an & as it is in a password that is a parameter: nothing of the rest is said", () => {
    const { target } = taken("postgres://db/shop?schema=x&user=ada&password=s3&cret&t=x&application_name=app")
    assert.lengthOf(target.warnings, 1)
    isSilent(target.warnings[0], ["cret"])
    assert.match(target.warnings[0], /schema, what stands behind the password .*%26/)
    assert.deepStrictEqual(taken("postgres://db/shop?password=s3cret&application_name=app").target.warnings, [])
  })

  it("a key where the name of its file belongs is not shown", () => {
    const key = "-----BEGIN PRIVATE KEY-----\nMIIs3cretXYZ\n-----END PRIVATE KEY-----"
    for (const value of [key, `${key}\0`, "s3cretXYZ".repeat(1000)]) {
      for (const name of ["sslkey", "sslcert", "sslrootcert"]) {
        const message = refusalOf(withQuery(`sslmode=verify-full&${name}=${encodeURIComponent(value)}`))
        assert.include(message, `${name}: no file of that name can be read`)
        isSilent(message, ["s3cret", "XYZ", "BEGIN"])
      }
    }
    assert.include(refusalOf(withQuery("sslkey=/&sslcert=/nowhere")), "sslcert: no file")
  })

  it("sslrootcert=system is no file: the authorities that Node.js trusts, and in full", () => {
    for (
      const query of [
        "",
        "&sslmode=verify-full",
        "&ssl=false",
        "&ssl=true",
        "&uselibpqcompat=true",
        "&sslmode=verify-full&uselibpqcompat=true"
      ]
    ) {
      for (const way of [`sslrootcert=system${query}`, `application_name=a${query}&sslrootcert=system`]) {
        const { client } = taken(withQuery(way))
        const { secureContext: _, ...rest } = client["ssl"] === true ? {} : client["ssl"] as Record<string, unknown>
        assert.deepStrictEqual(rest, {}, way)
      }
    }
    assert.strictEqual(taken(withQuery("sslrootcert=system&application_name=a")).client["application_name"], "a")
    const compat = ["prefer", "require", "verify-ca"].map((mode) => `${mode}&uselibpqcompat=true`)
    for (const mode of ["disable", "no-verify", "allow", ...compat]) {
      assert.match(refusalOf(withQuery(`sslrootcert=system&sslmode=${mode}`)), /sslmode.*verify-full/)
    }
  })

  it("client_encoding is UTF-8 anyway, and any other has no effect", () => {
    for (const encoding of ["utf8", "UTF-8", "UTF8", "auto", "unicode", ""]) {
      assert.deepStrictEqual(taken(withQuery(`client_encoding=${encoding}`)).target.warnings, [])
    }
    assert.include(taken(withQuery("client_encoding=latin1")).target.warnings[0], "client_encoding")
  })

  it.scopedLive("the warning is in the log once, when the pool is made", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const log = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void lines.push(String(message))))
      const url = Redacted.make(`${Redacted.value(serverUrl)}?pgbouncer=true&connection_limit=1&schema=public`)
      yield* Effect.gen(function*() {
        const { pool, sql } = yield* makePool({ url })
        assert.strictEqual(lines.length, 1)
        yield* sql`SELECT 1`
        yield* Effect.scoped(Effect.zipRight(pool.get, sql`SELECT 1`))
      }).pipe(Effect.provide(log))
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0], "pgbouncer, connection_limit, schema")
    }))

  it.scopedLive("R24: query_timeout is the pool's own: an unknown outcome, and a stream that is not cut", () =>
    Effect.gen(function*() {
      const url = Redacted.make(`${Redacted.value(serverUrl)}?query_timeout=1000`)
      const { sql } = yield* makePool({ url })
      const error = yield* Effect.flip(sql`SELECT ${1} FROM pg_sleep(30)`)
      assert.isTrue(PgError.isOutcomeUnknown(error))
      const rows = sql`SELECT n FROM generate_series(1, 500) n`.stream.pipe(
        Stream.rechunk(128),
        Stream.tap(() => Effect.sleep("3 millis"))
      )
      assert.strictEqual(yield* Stream.runCount(rows), 500)
    }))

  it.scopedLive("binary, and the like, change no value", () =>
    Effect.gen(function*() {
      const url = Redacted.make(`${Redacted.value(serverUrl)}?binary=true&types=1&stream=x&pipeline=true`)
      const { sql } = yield* makePool({ url })
      assert.deepStrictEqual(
        yield* sql`SELECT ${1}::int4 AS n, '{"a":1}'::jsonb AS j, 1.25::numeric AS x`,
        [{ n: 1, j: { a: 1 }, x: "1.25" }]
      )
    }))

  it.scopedLive("the server's timeouts, and the settings of the session, are in force, and what a session comes back to", () =>
    Effect.gen(function*() {
      const query = "statement_timeout=7000&lock_timeout=0&options=-c%20work_mem%3D77kB%20-c%20lock_timeout%3D5s"
      const url = Redacted.make(`${Redacted.value(serverUrl)}?${query}`)
      const names = ["statement_timeout", "lock_timeout", "work_mem"]
      const clients = [
        (yield* makePool({ url, maxsize: 1, maxoverflow: 1 })).sql,
        yield* PgClient.make({ url, maxConnections: 1 })
      ]
      for (const sql of clients) {
        const settings = Effect.map(
          sql`SELECT setting FROM pg_settings WHERE ${sql.in("name", names)} ORDER BY name`,
          (rows) => rows.map(({ setting }) => setting)
        )
        for (const reset of ["SELECT 1", "RESET ALL", "DISCARD ALL"]) {
          yield* sql.unsafe(reset)
          assert.deepStrictEqual(yield* settings, ["0", "7000", "77"])
        }
      }
    }).pipe(Effect.provide(Reactivity.layer)))

  it.scopedLive("a user and a password with a comma, and a database with a slash", () =>
    Effect.gen(function*() {
      const server = yield* watch()
      const name = `${uniqueName()},x`
      const quoted = `"${name}"`
      yield* Effect.acquireRelease(
        server.query(`CREATE ROLE ${quoted} LOGIN PASSWORD 'Abc,Def'`),
        () => server.query(`DROP ROLE ${quoted}`)
      )
      yield* Effect.acquireRelease(
        server.query(`CREATE DATABASE "${name}/y"`),
        () => server.query(`DROP DATABASE "${name}/y" WITH (FORCE)`)
      )
      const { host } = new URL(Redacted.value(serverUrl))
      const url = Redacted.make(`postgres://${name}:Abc,Def@${host}/${encodeURIComponent(`${name}/y`)}`)
      const { sql } = yield* makePool({ url })
      assert.deepStrictEqual(
        yield* sql`SELECT current_user AS me, current_database() AS place`,
        [{ me: name, place: `${name}/y` }]
      )
      assert.deepInclude(sql.config, { username: name, database: `${name}/y` })
    }))
})
