import { Reactivity } from "@effect/experimental"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Layer, Logger, Redacted, Stream } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Pg from "pg"
import * as ConnectionString from "pg-connection-string"
import { vi } from "vitest"
import { decodeTarget } from "../../src/internal/postgres/config/target.js"
import { makePool, serverUrl, uniqueName, watch } from "../support/pgPool.js"
import { makeFolder } from "../support/program.js"

const decode = (url: string, options?: PgPool.PgPoolOptions) =>
  decodeTarget({ ...options, url: Redacted.make(url) }).pipe(Either.map((target) => {
    const { database, password, username } = target.config
    return {
      username,
      password: password && Redacted.value(password),
      database,
      hosts: target.hosts.list.map(({ name, port }) => `${name} ${port}`),
      client: target.client() as Record<string, unknown>,
      target
    }
  }))

const taken = (url: string, options?: PgPool.PgPoolOptions) =>
  Either.getOrThrowWith(decode(url, options), ({ message }) => new Error(message))

const refusalOf = (url: string) => {
  const refused = decode(url)
  assert(Either.isLeft(refused), url)
  return refused.left.message
}

const stockOf = (url: string) => {
  try {
    return ConnectionString.parse(url)
  } catch {
    return undefined
  }
}

const parts = { user: "Ada", password: "s3cretXYZ", hosts: "db1", database: "shop", name: "app" }

type Part = keyof typeof parts

const urlOf = (changed: Partial<typeof parts>) => {
  const { database, hosts, name, password, user } = { ...parts, ...changed }
  return `postgresql://${user}:${password}@${hosts}/${database}?application_name=${name}`
}

const printable = Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index))

const encoded = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`

/** Nothing of the secrets, whole or cut. */
const isSilent = (message: string, secrets: ReadonlyArray<string>) => {
  for (const secret of secrets.filter(({ length }) => length > 2)) assert.notInclude(message, secret)
}

describe("the URL", () => {
  for (const part of ["user", "password", "database", "name"] as const satisfies ReadonlyArray<Part>) {
    it(`${part}: every printable character, raw and encoded, with one host and several`, () => {
      for (const char of printable) {
        for (const [form, written] of [["raw", char], ["encoded", encoded(char)]]) {
          for (const value of [`Ab${written}cD`, `${written}cD`, `Ab${written}`]) {
            const url = urlOf({ [part]: value })
            const one = decode(url)
            const several = decode(urlOf({ [part]: value, hosts: "db1,db2:5433" }))
            const stock = stockOf(url)
            const label = `${part} ${JSON.stringify(value)}`
            assert.strictEqual(Either.isRight(several), Either.isRight(one), label)
            if (Either.isLeft(one) || Either.isLeft(several)) {
              // It would mean something else there; stock takes some of these for another host, and asks for that.
              assert(form === "raw" && "/?#@%&".includes(char), label)
              for (const refused of [one, several]) {
                if (Either.isLeft(refused)) isSilent(refused.left.message, ["Ada", "Ab", "cD", "s3cret", "XYZ"])
              }
              continue
            }
            assert.deepStrictEqual(one.right.hosts, ["db1 5432"], label)
            assert.deepStrictEqual(several.right.hosts, ["db1 5432", "db2 5433"], label)
            for (const got of [one.right, several.right]) {
              const applicationName = got.target.config.applicationName
              if (form === "encoded") {
                const expected = { username: "Ada", password: "s3cretXYZ", database: "shop", applicationName: "app" }
                const option = { user: "username", name: "applicationName" }[part as string] ?? part
                const { database, password, username } = got
                assert.deepStrictEqual({ username, password, database, applicationName }, {
                  ...expected,
                  [option]: decodeURIComponent(value)
                }, label)
              }
              if (stock === undefined) continue
              const { application_name: name } = stock as { readonly application_name?: string }
              assert.strictEqual(got.username ?? "", stock.user, label)
              assert.strictEqual(got.password ?? "", stock.password, label)
              assert.strictEqual(applicationName, name || "effect-pgpool", label)
              // It decodes what stock leaves encoded.
              if (part === "database" && form === "encoded") continue
              assert.strictEqual(got.database ?? null, stock.database, label)
            }
          }
        }
      }
    })
  }

  it("a host: every printable character, raw and encoded, is what stock makes of it, or refused", () => {
    for (const char of printable) {
      for (const written of [char, encoded(char)]) {
        const url = urlOf({ hosts: `d${written}b` })
        const [one, stock] = [decode(url), stockOf(url)]
        if (Either.isLeft(one)) isSilent(one.left.message, ["Ada", "s3cret", "XYZ"])
        else if (stock !== undefined && ![",", "%2C"].includes(written)) {
          assert.deepStrictEqual(one.right.hosts, [`${stock.host || "localhost"} ${stock.port || 5432}`], url)
          assert.strictEqual(one.right.password, stock.password)
        }
        const several = decode(urlOf({ hosts: `db1,d${written}b` }))
        if (Either.isLeft(several)) isSilent(several.left.message, ["Ada", "s3cret", "XYZ"])
      }
    }
  })

  const secret = FastCheck.string({ minLength: 1, maxLength: 12, unit: "grapheme-ascii" })

  it("any password and any user, encoded", () =>
    FastCheck.assert(
      FastCheck.property(secret, secret, FastCheck.boolean(), (user, password, isOne) => {
        const hosts = isOne ? "db1" : "db1,db2"
        const got = taken(urlOf({ user: encodeURIComponent(user), password: encodeURIComponent(password), hosts }))
        assert.deepStrictEqual([got.username, got.password, got.hosts.length], [user, password, isOne ? 1 : 2])
      }),
      { numRuns: 500, seed: 1 }
    ))

  it("any password as it is: what stock makes of it, or refused; never a part of it as a host, or said", () => {
    const special = FastCheck.string({
      minLength: 1,
      maxLength: 8,
      unit: FastCheck.constantFrom(..."aB1/?#@:,%[]& =\\")
    })
    FastCheck.assert(
      FastCheck.property(special, special, FastCheck.boolean(), (first, second, isOne) => {
        const password = `Qx${first}Zy${second}Wv`
        const got = decode(urlOf({ password, hosts: isOne ? "db1" : "db1,db2" }))
        if (Either.isLeft(got)) return isSilent(got.left.message, ["Ada", "Qx", "Zy", "Wv"])
        assert.deepStrictEqual(got.right.hosts, isOne ? ["db1 5432"] : ["db1 5432", "db2 5432"])
        assert.strictEqual(got.right.password, stockOf(urlOf({ password }))!.password)
        isSilent(got.right.target.warnings.join(), ["Qx", "Zy", "Wv"])
      }),
      { numRuns: 5000, seed: 1 }
    )
  })

  it("a comma before the last @ belongs to the user or the password, also with several hosts", () => {
    for (const hosts of ["db1", "db1,db2"]) {
      const got = taken(urlOf({ user: "a,d@a", password: "s3,cr@,et", hosts }))
      assert.deepStrictEqual([got.username, got.password], ["a,d@a", "s3,cr@,et"])
      assert.strictEqual(got.hosts.length, hosts.split(",").length)
    }
  })

  it("a / ? or # as it is in a user or a password is refused where stock would ask for another host", () => {
    for (
      const url of [
        "postgres://se/cret:pw@db/shop",
        "postgres://se/cret@db",
        "postgres://ada:12/secret@db/shop",
        "postgres://ada:p@secret/x@db/shop",
        "postgres://ada:12?secret@db/shop",
        "postgres://ada:p@secret?x@db/shop",
        "postgres://ada:p@secret?x=y@db/shop",
        "postgres://ada:p@secret#x@db/shop",
        "postgres://ada:12#secret@db/shop"
      ]
    ) {
      const message = refusalOf(url)
      assert.include(message, "%2F", url)
      isSilent(message, ["secret", "cret", "ada"])
    }
  })

  it("the database's name is decoded in full", () => {
    for (const name of ["a/b", "?", "50%2F", "a%b", "ü ,;:@&=+$#", "x y"]) {
      assert.strictEqual(taken(`postgres://ada@db/${encodeURIComponent(name)}`).database, name)
    }
    assert.isUndefined(taken("postgres://ada@db/").database)
    assert.isUndefined(taken("postgres://ada@db").database)
  })

  it("forms of other places", () => {
    const forms: Record<string, [hosts: string, database?: string, username?: string]> = {
      "POSTGRES://ada@db/shop": ["db 5432", "shop", "ada"],
      "PostgreSQL://ada@Db:5433/shop": ["Db 5433", "shop", "ada"],
      "postgres://ada:pw@[::1]:5433/shop": ["::1 5433", "shop", "ada"],
      "postgres://ada:p,w@[::1]:5433,[fe80::1]/shop": ["::1 5433,fe80::1 5432", "shop", "ada"],
      "postgres://db/shop\n": ["db 5432", "shop"],
      "postgres://a,b\n": ["a 5432,b 5432"],
      "postgresql:///shop?host=/run": ["/run 5432", "shop"],
      "postgresql://ada@/shop?host=/run&port=5433": ["/run 5433", "shop", "ada"],
      "postgresql://ada@%2Frun%2Fpg:5433/shop": ["/run/pg 5433", "shop", "ada"],
      "postgresql://ada@db:1,db2:2/shop?host=c,d&port=5": ["c 5,d 5", "shop", "ada"],
      "postgresql://db:1/shop?host=c": ["c 1", "shop"],
      "postgresql://db/shop?user=me@srv&password=p@/w": ["db 5432", "shop", "me@srv"],
      "postgresql://db/shop?dbname=shop": ["db 5432", "shop"],
      "socket://ada:pw@/run/pg?db=shop&encoding=utf8": ["/run/pg 5432", "shop", "ada"],
      "socket:/run/pg?db=shop": ["/run/pg 5432", "shop"],
      "/run/pg shop": ["/run/pg 5432", "shop"]
    }
    for (const [url, [hosts, database, username]] of Object.entries(forms)) {
      const got = taken(url)
      assert.deepStrictEqual([got.hosts.join(), got.database, got.username], [hosts, database, username], url)
      assert.deepStrictEqual(got.target.warnings, [], url)
    }
  })

  it("no user and no password are as good as none said", () => {
    for (const url of ["postgres://db/shop", "postgres://:@db/shop", "postgres://@db/shop"]) {
      assert.deepStrictEqual([taken(url).username, taken(url).password], [undefined, undefined], url)
    }
  })

  it("what is no URL of PostgreSQL is refused, with advice", () => {
    assert.include(refusalOf("jdbc:postgresql://db/shop?user=ada&password=s3cret"), "without the jdbc:")
    for (
      const url of [
        "postgres:/ada:s3cret@db/shop",
        "postgres:ada:s3cret@db",
        "mysql://ada:s3cret@db/shop",
        "ada:s3cret@db/shop",
        "postgresql+psycopg2://ada:s3cret@db/shop",
        ""
      ]
    ) {
      const message = refusalOf(url)
      assert.include(message, "begins with postgresql://", url)
      isSilent(message, ["ada", "s3cret", "shop"])
    }
  })

  it("a database beside that of the path is refused: pg and libpq take another one", () => {
    for (const url of ["postgres://db/shop?dbname=other", "postgres://db?dbname=other", "postgres://db/?database=x"]) {
      assert.match(refusalOf(url), /dbname|database/)
    }
  })
})

describe("parameters of the URL", () => {
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

  it.scopedLive("R24 query_timeout is the pool's own: an unknown outcome, and a stream that is not cut", () =>
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

describe("the environment of the process, and pg.defaults", () => {
  const env = (entries: Record<string, string>) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        for (const [key, value] of Object.entries(entries)) vi.stubEnv(key, value)
      }),
      () => Effect.sync(() => vi.unstubAllEnvs())
    )
  const defaults = (entries: Record<string, unknown>) => {
    const before = { ...Pg.defaults }
    return Effect.acquireRelease(
      Effect.sync(() => void Object.assign(Pg.defaults, entries)),
      () => Effect.sync(() => void Object.assign(Pg.defaults, before))
    )
  }

  for (const mode of ["verify_full", "VERIFY-FULL", "on", "true"]) {
    it.scoped(`PGSSLMODE=${mode} is refused by name`, () =>
      Effect.gen(function*() {
        yield* env({ PGSSLMODE: mode })
        const message = refusalOf("postgres://ada:s3cret@db/shop")
        assert.include(message, "PGSSLMODE")
        assert.include(message, mode)
      }))
  }

  it.scoped("PGSSLMODE is for who says nothing else, and weakens nobody", () =>
    Effect.gen(function*() {
      const sslOf = (query = "", options?: PgPool.PgPoolOptions) =>
        taken(`postgres://db/shop?${query}`, options).client["ssl"]
      for (const weak of ["disable", "allow", "no-verify", ""]) {
        yield* env({ PGSSLMODE: weak })
        assert.isTrue(sslOf("", { ssl: true }))
        assert.isTrue(sslOf("ssl=true"))
        assert.notProperty(sslOf("sslmode=verify-full"), "rejectUnauthorized")
        assert.deepStrictEqual(sslOf(), weak === "no-verify" ? sslOf("ssl=no-verify") : false)
      }
      for (const strong of ["prefer", "require", "verify-ca", "verify-full"]) {
        yield* env({ PGSSLMODE: strong })
        assert.isTrue(sslOf())
        assert.isFalse(sslOf("sslmode=disable"))
      }
    }))

  it.scoped("PGSSLNEGOTIATION", () =>
    Effect.gen(function*() {
      yield* env({ PGSSLNEGOTIATION: "direct" })
      assert.deepInclude(taken("postgres://db/shop").client, { ssl: true, sslnegotiation: "direct" })
      const options = { sslNegotiation: "postgres" } as const
      assert.deepInclude(taken("postgres://db/shop", options).client, { ssl: false, sslnegotiation: "postgres" })
      yield* env({ PGSSLNEGOTIATION: "Direct" })
      assert.include(refusalOf("postgres://db/shop"), "PGSSLNEGOTIATION")
    }))

  it.scoped("PGOPTIONS, where the URL has none", () =>
    Effect.gen(function*() {
      yield* env({ PGOPTIONS: "-c work_mem=77kB", PGBINARY: "true", PGQUERY_TIMEOUT: "5", PGCONNECT_TIMEOUT: "1" })
      assert.strictEqual(taken("postgres://db/shop").client["options"], "-c work_mem=77kB")
      assert.strictEqual(taken("postgres://db/shop?options=-c%20a=b").client["options"], "-c a=b")
    }))

  it.scopedLive("pg.defaults: times are taken, and none of them by the driver; values come as text", () =>
    Effect.gen(function*() {
      yield* defaults({ query_timeout: 1000, statement_timeout: 9000, binary: true })
      const { sql } = yield* makePool({})
      const error = yield* Effect.flip(sql`SELECT pg_sleep(30)`)
      assert.isTrue(PgError.isOutcomeUnknown(error))
      assert.deepStrictEqual(
        yield* sql`SELECT ${"2"}::numeric AS x, current_setting('statement_timeout') AS t`,
        [{ x: "2", t: "9s" }]
      )
      const target = taken(Redacted.value(serverUrl), { queryTimeout: "7 seconds" }).target
      assert.strictEqual(target.queryTimeout, 7000)
      assert.include(target.warnings.join(), "pg.defaults.binary")
    }))

  it.scoped("pg.defaults: host, port and TLS are as pg has them", () =>
    Effect.gen(function*() {
      yield* defaults({ host: "elsewhere", port: 5439, ssl: true })
      const { client, hosts } = taken("postgres:///shop")
      assert.deepStrictEqual([hosts, client["ssl"]], [["elsewhere 5439"], true])
    }))
})

describe("the key of a client certificate", () => {
  it.scoped("is read from a file once, and a missing file is named", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder("pgpool-url-")
      const file = join(folder, "ca.pem")
      writeFileSync(file, "none")
      const message = refusalOf(`postgres://ada:s3cret@db/shop?sslrootcert=${file}x`)
      assert.include(message, `${file}x`)
      isSilent(message, ["s3cret"])
    }))
})

it.effect("a URL in the place of a host is refused, and not shown", () =>
  Effect.gen(function*() {
    const place = "postgres://ada:s3cret@db"
    const pools: ReadonlyArray<PgPool.PgPoolOptions> = [
      ...[{ host: place }, { host: `db,${place}` }, { host: "ada:s3cret@db" }, { hosts: [place] }],
      ...[{ hosts: ["ada@s3cret"] }, { hosts: [{ host: "ada:s3cret@db" }] }],
      { url: Redacted.make("postgres://db/shop?host=ada:s3cret@db") }
    ]
    for (const options of pools) {
      const defect = yield* Effect.flip(Effect.catchAllDefect(
        Effect.scoped(Layer.build(PgPool.layer(options))),
        Effect.fail
      ))
      assert.match(String(defect), /host/)
      isSilent(String(defect), ["ada", "s3cret"])
    }
  }))

it.effect("a bad URL of a layer is a defect without a part of it", () =>
  Effect.gen(function*() {
    const url = Redacted.make("postgres://ada:p,secret@/x@db,/shop")
    const defect = yield* Effect.flip(Effect.catchAllDefect(
      Effect.scoped(Layer.build(PgPool.layer({ url }))),
      Effect.fail
    ))
    isSilent(String(defect), ["ada", "secret"])
  }))
