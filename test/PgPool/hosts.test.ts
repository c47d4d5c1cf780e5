import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import type { Scope } from "effect"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Effect,
  Either,
  Exit,
  Layer,
  Option,
  Random,
  Redacted,
  Runtime
} from "effect"
import { PgError, PgPool, PgPoolLayer } from "effect-pgpool"
import Dns from "node:dns"
import { inject, vi } from "vitest"
import { Reach } from "../../src/internal/pool/reach.js"
import { HostFaults } from "../../src/internal/postgres/config/hostFaults.js"
import type { Hosts } from "../../src/internal/postgres/config/hosts.js"
import { decodeHosts } from "../../src/internal/postgres/config/hosts.js"
import { decodeTarget } from "../../src/internal/postgres/config/target.js"
import type { Open, Place } from "../../src/internal/postgres/connect/dial.js"
import { dial } from "../../src/internal/postgres/connect/dial.js"
import { connectError } from "../../src/internal/postgres/errors/errors.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { ioClock } from "../../src/internal/time/ioClock.js"
import { timeOf } from "../../src/internal/time/time.js"
import { makePool, pidOf, promptly, serverUrl } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"
import { startWithTls } from "../support/sockets.js"
import { traced } from "../support/spans.js"

type Options = PgPool.PgPoolOptions

const server = new URL(inject("pgUrl"))

/** The options of a pool on the server of the run, by way of these ports. */
const through = (...ports: ReadonlyArray<number>): Options => ({
  url: undefined,
  hosts: ports.map((port) => ({ host: "127.0.0.1", port })),
  username: server.username,
  password: Redacted.make(server.password),
  database: "postgres"
})

const decoded = (options: Options) => Either.getOrThrowWith(decodeTarget(options), ({ message }) => new Error(message))

const hostsOf = (options: Options) => decoded(options).hosts.list.map(({ name, port }) => `${name} ${port}`)

describe("R30: several hosts are named", () => {
  const url = (rest: string) => ({ url: Redacted.make(`postgresql://${rest}`) })

  it("in a list", () => {
    const hosts = ["a", "b:5433", "[::1]:5434", "::2", "/run/pg", { host: "c" }, { host: "/run/pg", port: 5435 }]
    const expected = (
      port: number
    ) => [`a ${port}`, "b 5433", "::1 5434", `::2 ${port}`, `/run/pg ${port}`, `c ${port}`, "/run/pg 5435"]
    assert.deepStrictEqual(hostsOf({ hosts }), expected(5432))
    assert.deepStrictEqual(hostsOf({ hosts, port: 6432 }), expected(6432))
    assert.deepStrictEqual(hostsOf({ ...url("ada:s3cret@other:1/shop"), hosts }), expected(5432))
  })

  it("in a URL, as with libpq", () => {
    const parsed = decoded(
      url("ada:p@a:5432,b,[::1]:5434/shop?target_session_attrs=read-write&load_balance_hosts=random")
    )
    assert.deepStrictEqual(parsed.hosts.list.map(({ name, port }) => `${name} ${port}`), [
      "a 5432",
      "b 5432",
      "::1 5434"
    ])
    assert.deepInclude(parsed.hosts, { attrs: "read-write", isRandom: true })
    assert.deepInclude(parsed.config, { host: "a", port: 5432, username: "ada", database: "shop" })
    assert.deepStrictEqual(hostsOf(url("/shop?host=a,b&port=5433,5434")), ["a 5433", "b 5434"])
    assert.deepStrictEqual(hostsOf(url("/shop?host=a,b&port=5433")), ["a 5433", "b 5433"])
    assert.deepStrictEqual(hostsOf(url("%2Frun%2Fpg:5433,b/shop")), ["/run/pg 5433", "b 5432"])
    assert.deepStrictEqual(hostsOf({ ...url("a:1,b:2/shop"), port: 6432 }), ["a 6432", "b 6432"])
    assert.deepStrictEqual(hostsOf({ host: "a,b,c", port: 6432 }), ["a 6432", "b 6432", "c 6432"])
    assert.deepStrictEqual(
      decoded({ ...url("a,b?target_session_attrs=standby"), targetSessionAttrs: "primary" }).hosts.attrs,
      "primary"
    )
  })

  it("in PGHOST and PGPORT", () => {
    vi.stubEnv("PGHOST", "a,b")
    vi.stubEnv("PGPORT", "5433,5434")
    try {
      assert.deepStrictEqual(hostsOf({}), ["a 5433", "b 5434"])
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it.scopedLive("in the environment of PgPoolLayer", () =>
    Effect.gen(function*() {
      const closed = yield* closedPort
      const entries = {
        PGHOST: `127.0.0.1,${server.hostname}`,
        PGPORT: `${closed},${server.port}`,
        PGUSER: server.username,
        PGPASSWORD: server.password,
        PGDATABASE: "postgres",
        PGTARGETSESSIONATTRS: "primary",
        PGLOADBALANCEHOSTS: "random"
      }
      const context = yield* build(PgPoolLayer, entries)
      const { client: sql } = Context.get(context, PgPool.PgPool)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))

  const bad: ReadonlyArray<readonly [options: object, option: string, value: string, allowed: RegExp]> = [
    [{ hosts: "a,b" }, "hosts", "\"a,b\"", /list of at least one host/],
    [{ hosts: [] }, "hosts", "[]", /list of at least one host/],
    [{ hosts: ["a", "b:70000"] }, "hosts", "\"b:70000\"", /port from 1 to 65535/],
    [{ hosts: ["a", ""] }, "hosts", "\"\"", /a host such as/],
    [{ hosts: ["a,b"] }, "hosts", "\"a,b\"", /a host such as/],
    [{ hosts: ["a:b:c"] }, "hosts", "\"a:b:c\"", /a host such as/],
    [{ hosts: [{ port: 1 }] }, "hosts", "{\"port\":1}", /a host such as/],
    [{ hosts: [{ host: "a", port: "1" }] }, "hosts", "{\"host\":\"a\",\"port\":\"1\"}", /a host such as/],
    [{ hosts: ["a"], host: "b" }, "hosts", "[\"a\"]", /left out where host or path is given/],
    [{ hosts: ["a"], port: 0 }, "port", "0", /whole number from 1 to 65535/],
    [{ host: "a,,b" }, "host", "\"a,,b\"", /commas in between/],
    [{ host: "a,b,c", port: "1,2" }, "port", "\"1,2\"", /one port, or one for each of 3 hosts/],
    [{ targetSessionAttrs: "master" }, "targetSessionAttrs", "\"master\"", /"any", "read-write".*"prefer-standby"/],
    [{ loadBalanceHosts: true }, "loadBalanceHosts", "true", /"disable" or "random"/],
    [url("u:s3cret@a:x,b/db"), "url", "\"<redacted>\"", /number 1 of its hosts/],
    [url("u:s3cret@a:1,/db"), "url", "\"<redacted>\"", /number 2 of its hosts/],
    [url("u:s3cret@/db?host=a,b,c&port=1,2"), "url", "\"<redacted>\"", /one port, or one for each of 3 hosts/],
    [
      url("u:s3cret@a,b/db?target_session_attrs=x"),
      "url",
      "\"<redacted>\"",
      /targetSessionAttrs: "x".*"prefer-standby"/
    ],
    [url("u:s3cret@a,b/db?load_balance_hosts=x"), "url", "\"<redacted>\"", /loadBalanceHosts: "x".*"random"/]
  ]
  for (const [index, [options, option, value, allowed]] of bad.entries()) {
    it.effect(`a bad ${option} is refused, number ${index}: ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const literal = yield* Effect.exit(Effect.scoped(Layer.build(PgPool.layer(options))))
        const config = yield* Effect.flip(
          Effect.scoped(Layer.build(PgPool.layerConfig(Config.succeed(options) as never)))
        )
        for (const message of [Exit.isFailure(literal) ? Cause.pretty(literal.cause) : "", String(config)]) {
          assert.include(message, `${option}: ${value} is not allowed`)
          assert.match(message, allowed)
          assert.notInclude(message, "s3cret")
        }
        assert.deepInclude(config, { path: [option] })
      }))
  }

  for (
    const [key, value] of [
      ["PGPORT", "1,2"],
      ["PGPORT", "a,2,3"],
      ["PGHOST", "a,,b"],
      ["PGTARGETSESSIONATTRS", "master"],
      ["PGLOADBALANCEHOSTS", "yes"]
    ]
  ) {
    it.effect(`${key}=${value} is a ConfigError that names the key`, () =>
      Effect.gen(function*() {
        const entries = { PGHOST: "a,b,c", [key]: value }
        const error = yield* Effect.flip(Effect.scoped(build(PgPoolLayer, entries)))
        assert.deepInclude(error, { path: [key] })
        assert.include(String(error), JSON.stringify(value))
      }))
  }
})

const build = <A, E>(layer: Layer.Layer<A, E>, entries: Record<string, string>) =>
  Layer.build(layer).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries)))))

/** A port where nobody listens. */
const closedPort = Effect.scoped(Effect.map(Proxy.start(serverUrl), ({ port }) => port))

const settings = {
  reach: new Reach({ millis: 500, isSet: false }),
  stream: undefined,
  io: timeOf(Runtime.defaultRuntime, ioClock)
}

/** Hosts that do what is said of them, and what was tried. */
class Scripted {
  readonly tried: Array<string> = []
  readonly closed: Array<string> = []
  readonly fates = new Map<string, "silent" | "refused" | "primary" | "standby">()
  readonly hosts: Hosts

  constructor(options: Options, private readonly connectTimeout = 5000) {
    this.hosts = decodeHosts(options, options)
  }

  /** Gives the place that a session was opened to. */
  readonly dial = Effect.suspend(() => {
    this.tried.length = 0
    return Effect.scoped(dial({ ...settings, hosts: this.hosts, connectTimeout: this.connectTimeout }, this.open))
  })

  private readonly open: Open<string> = (place, role) =>
    Effect.gen(this, function*() {
      const name = nameOf(place)
      this.tried.push(name)
      yield* Effect.addFinalizer(() => Effect.sync(() => this.closed.push(name)))
      const fate = this.fates.get(name) ?? "primary"
      if (fate === "silent") return yield* Effect.never
      if (fate === "refused") return yield* connectError(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))
      if (role !== "any" && role !== fate) {
        return yield* connectError(new PgError.WrongRole({ wanted: role, found: fate }))
      }
      return name
    })
}

const nameOf = ({ address, host }: Place) => address ?? host.name

describe("R30: a dial", () => {
  const addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
  const hosts = addresses

  it.live("takes the first host, and the next one where that fails", () =>
    Effect.gen(function*() {
      const { dial, fates, tried } = new Scripted({ hosts })
      assert.strictEqual(yield* dial, "10.0.0.1")
      assert.deepStrictEqual(tried, ["10.0.0.1"])
      fates.set("10.0.0.1", "refused")
      assert.strictEqual(yield* dial, "10.0.0.2")
      assert.deepStrictEqual(tried, ["10.0.0.1", "10.0.0.2"])
    }))

  it.live("tries what failed last, and does not skip it", () =>
    Effect.gen(function*() {
      const { dial, fates, tried } = new Scripted({ hosts })
      fates.set("10.0.0.1", "refused")
      yield* dial
      yield* dial
      assert.deepStrictEqual(tried, ["10.0.0.2"])
      for (const host of ["10.0.0.2", "10.0.0.3"]) fates.set(host, "refused")
      yield* Effect.flip(dial)
      assert.deepStrictEqual(tried, ["10.0.0.2", "10.0.0.3", "10.0.0.1"])
      fates.delete("10.0.0.3")
      assert.strictEqual(yield* dial, "10.0.0.3")
      yield* dial
      assert.deepStrictEqual(tried, ["10.0.0.3"])
    }))

  it("remembers for ten seconds what was no good: the wrong role before what failed", () => {
    const faults = new HostFaults()
    const sorted = (now: number) => faults.sort(["a", "b", "c"], (place) => place, now)
    faults.note("a", "failed", 0)
    faults.note("b", "wrong role", 0)
    assert.deepStrictEqual(sorted(1), ["c", "b", "a"])
    assert.deepStrictEqual(sorted(9999), ["c", "b", "a"])
    assert.deepStrictEqual(sorted(10_000), ["a", "b", "c"])
    faults.note("a", "failed", 20_000)
    faults.forget("a")
    assert.deepStrictEqual(sorted(20_001), ["a", "b", "c"])
  })

  it.live("goes on to the next host before a silent one has eaten up the time", () =>
    Effect.gen(function*() {
      const { closed, dial, fates, tried } = new Scripted({ hosts }, 600)
      fates.set("10.0.0.1", "silent").set("10.0.0.2", "silent")
      assert.strictEqual(yield* dial, "10.0.0.3")
      assert.deepStrictEqual(tried, hosts)
      assert.deepStrictEqual(closed, hosts)
      // The last one has the rest of the time, and not for ever.
      fates.set("10.0.0.3", "silent")
      const error = yield* promptly(Effect.flip(dial))
      assert.deepStrictEqual(tried, ["10.0.0.3", "10.0.0.1", "10.0.0.2"])
      assert.match(error.message, /10.0.0.3:5432(: no answer within \d+ ms;|,) 10.0.0.1:5432(,|: no answer)/)
      assert.isTrue(PgError.isRetryable(error))
    }))

  it.live("has one host open at a time", () =>
    Effect.gen(function*() {
      let open = 0
      const { hosts: decoded } = new Scripted({ hosts, targetSessionAttrs: "standby" })
      const attempt = dial({ ...settings, hosts: decoded, connectTimeout: 5000 }, () =>
        Effect.zipRight(
          Effect.acquireRelease(Effect.sync(() => assert.strictEqual(open++, 0)), () => Effect.sync(() => open--)),
          connectError(new PgError.WrongRole({ wanted: "standby", found: "primary" }))
        ))
      yield* Effect.flip(Effect.scoped(attempt))
      assert.strictEqual(open, 0)
    }))

  it.live("names every host and why it failed", () =>
    Effect.gen(function*() {
      const { dial, fates } = new Scripted({ hosts: ["10.0.0.1", "[::1]:5433"], targetSessionAttrs: "primary" })
      fates.set("10.0.0.1", "refused").set("::1", "standby")
      const error = yield* Effect.flip(dial)
      assert.instanceOf(error, SqlError.SqlError)
      assert.strictEqual(
        error.message,
        "Failed to connect: no host could be used: 10.0.0.1:5432: refused; " +
          "[::1]:5433: the server is a standby, and targetSessionAttrs asks for a primary"
      )
      assert.instanceOf(error.cause, PgError.NoHost)
      assert.isTrue(PgError.isRetryable(error))
    }))

  it.live("at random goes to each host, as Effect's Random has it", () =>
    Effect.gen(function*() {
      const first = (seed: string) => {
        const { dial } = new Scripted({ hosts, loadBalanceHosts: "random" })
        return Effect.withRandom(Effect.replicateEffect(dial, 40), Random.make(seed))
      }
      const dialled = yield* first("a")
      assert.sameMembers([...new Set(dialled)], hosts)
      assert.deepStrictEqual(yield* first("a"), dialled)
      assert.notDeepEqual(yield* first("b"), dialled)
    }))

  it.live("that prefers a standby takes a primary only where there is none", () =>
    Effect.gen(function*() {
      const { dial, fates, tried } = new Scripted({ hosts, targetSessionAttrs: "prefer-standby" })
      fates.set("10.0.0.2", "standby")
      assert.strictEqual(yield* dial, "10.0.0.2")
      assert.deepStrictEqual(tried, ["10.0.0.1", "10.0.0.2"])
      fates.set("10.0.0.2", "refused").set("10.0.0.3", "refused")
      assert.strictEqual(yield* dial, "10.0.0.1")
      // It is known now that there is no standby.
      assert.strictEqual(yield* dial, "10.0.0.1")
      assert.deepStrictEqual(tried, ["10.0.0.1"])
    }))

  it.live("that prefers a standby leaves the last one, where that is silent, for the primary", () =>
    Effect.gen(function*() {
      const { dial, fates, tried } = new Scripted({ hosts: hosts.slice(1), targetSessionAttrs: "prefer-standby" }, 600)
      fates.set("10.0.0.3", "standby")
      assert.strictEqual(yield* dial, "10.0.0.3")
      // Only that one is hopeful now.
      fates.set("10.0.0.3", "silent")
      assert.strictEqual(yield* promptly(dial), "10.0.0.2")
      assert.deepStrictEqual(tried, ["10.0.0.3", "10.0.0.2"])
    }))

  const resolving = (
    names: Record<string, ReadonlyArray<string>>
  ): Effect.Effect<void, never, Scope.Scope> =>
    Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() =>
        vi.spyOn(Dns, "lookup").mockImplementation(
          ((name: string, _: unknown, callback: Function) =>
            name in names
              ? callback(null, names[name].map((address) => ({ address, family: 4 })))
              : callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: "ENOTFOUND" }))) as never
        )
      ),
      (spy) => Effect.sync(() => spy.mockRestore())
    ))

  it.scopedLive("tries all addresses of a name", () =>
    Effect.gen(function*() {
      yield* resolving({ db: addresses, other: ["10.0.1.1"] })
      const { dial, fates, tried } = new Scripted({ hosts: ["nowhere", "db", "other"], targetSessionAttrs: "standby" })
      fates.set("10.0.0.1", "refused").set("10.0.0.3", "standby")
      assert.strictEqual(yield* dial, "10.0.0.3")
      assert.deepStrictEqual(tried, addresses)
      yield* dial
      assert.deepStrictEqual(tried, ["10.0.0.3"])
      fates.delete("10.0.0.3")
      const { message } = yield* Effect.flip(dial)
      assert.include(message, "nowhere:5432: getaddrinfo ENOTFOUND nowhere")
      assert.include(message, "db:5432 (10.0.0.1): refused")
      assert.include(message, "other:5432 (10.0.1.1): the server is a primary")
    }))

  it.scopedLive("R18: fails at once where the server of a name refuses, and there is none at its other address", () =>
    Effect.gen(function*() {
      // Nobody listens on the first one.
      yield* resolving({ db: ["127.0.0.2", "127.0.0.1"] })
      const postgres = yield* Postgres.start()
      const { sql } = yield* makePool({
        ...through(),
        hosts: [`db:${postgres.port}`],
        password: Redacted.make("s3cret")
      })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.deepStrictEqual(PgError.sqlState(error), Option.some("28P01"))
      assert.isFalse(PgError.isRetryable(error))
    }))

  it.scopedLive("goes to the address while the name stays the host, for a certificate to be for", () =>
    Effect.gen(function*() {
      yield* resolving({ "db.example": ["127.0.0.2", "127.0.0.1"] })
      const { pool } = yield* makePool({ ...through(), hosts: [`db.example:${server.port}`] })
      yield* pool.use((connection) =>
        Effect.sync(() => {
          assert.strictEqual(connection.pg.host, "db.example")
          assert.strictEqual((connection.pg as any).connection.stream.remoteAddress, "127.0.0.1")
        })
      )
    }))
})

describe("R30: a pool with several hosts", () => {
  it.scopedLive("passes a host that refuses, and one that is silent", () =>
    Effect.gen(function*() {
      const silent = yield* Proxy.start(serverUrl)
      silent.blackhole()
      const { pool, sql } = yield* makePool({
        ...through(yield* closedPort, silent.port, Number(server.port)),
        connectTimeout: 1000
      })
      assert.deepStrictEqual(yield* promptly(sql`SELECT 1 AS one`), [{ one: 1 }])
      assert.strictEqual((yield* pool.stats).closed.failed, 0)
      assert.strictEqual(silent.open, 0)
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.05)`, 5), { concurrency: 5 })
      assert.strictEqual(silent.accepted, 1)
    }))

  it.scopedLive("R6: when the pool no longer relies on dials to a silent host, new ones don't try that first", () =>
    Effect.gen(function*() {
      const silent = yield* Proxy.start(serverUrl)
      silent.blackhole()
      const { sql } = yield* makePool({
        ...through(silent.port, Number(server.port)),
        maxsize: 10,
        connectConcurrency: 2
      })
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.5)`, 10), { concurrency: 10 })
      assert.strictEqual(silent.accepted, 2)
    }))

  it.scopedLive("R18: waits for one of them while all are away", () =>
    Effect.gen(function*() {
      const postgres = yield* Postgres.start()
      yield* postgres.stop()
      const { sql } = yield* makePool({ ...through(yield* closedPort, postgres.port), outageTimeout: "20 seconds" })
      const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* postgres.start
      assert.deepStrictEqual(yield* caller, [{ one: 1 }])
    }))

  it.scopedLive("R18: fails at once where none of them lets it in", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const options = through(proxy.port, Number(server.port))
      const { sql } = yield* makePool({ ...options, password: Redacted.make("s3cret") })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.match(error.message, /: 127.0.0.1:\d+, 127.0.0.1:\d+: password authentication failed for user "\w+"$/)
      assert.deepStrictEqual(PgError.sqlState(error), PgError.sqlState({ severity: "FATAL", code: "28P01" }))
      assert.isFalse(PgError.isRetryable(error))
    }))

  it.scopedLive("TLS looks for the name of the host that is dialled, and so does a cancel", () =>
    Effect.gen(function*() {
      const postgres = yield* startWithTls()
      const options = { ...through(), ssl: { ca: postgres.authority.cert }, cleanupTimeout: 10_000 }
      const { sql } = yield* makePool({
        ...options,
        hosts: [`127.0.0.1:${postgres.port}`, `localhost:${postgres.port}`]
      })
      const pid = yield* pidOf(sql)
      yield* Effect.timeoutOption(sql`SELECT pg_sleep(60)`, 100)
      assert.strictEqual(yield* pidOf(sql), pid)
      const wrong = yield* makePool({ ...options, hosts: [`127.0.0.1:${postgres.port}`] })
      assert.include((yield* promptly(Effect.flip(wrong.sql`SELECT 1`))).message, "127.0.0.1")
    }))

  it.scopedLive("has all of them in the attributes of its spans, and a port where it is that of all", () =>
    Effect.gen(function*() {
      const { port } = yield* Proxy.start(serverUrl)
      const attributes = (hosts: ReadonlyArray<string>) =>
        Effect.flatMap(
          makePool({ ...through(), hosts }),
          ({ sql }) => Effect.map(traced(sql`SELECT 1`), ([span]) => span.attributes)
        )
      assert.deepInclude(yield* attributes([`127.0.0.1:${port}`, `127.0.0.2:${port}`]), {
        "server.address": "127.0.0.1,127.0.0.2",
        "server.port": port
      })
      const differing = yield* attributes([`127.0.0.1:${port}`, `127.0.0.1:${server.port}`])
      assert.deepInclude(differing, { "server.address": "127.0.0.1,127.0.0.1" })
      assert.notProperty(differing, "server.port")
    }))
})
