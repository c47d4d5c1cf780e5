import { assert, describe, it, layer } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { PgError, PgPool, PgPoolLayer } from "effect-pgpool"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { connect, createServer } from "node:tls"
import { vi } from "vitest"
import { decodeRequirement } from "../../src/internal/postgres/config/requireAuth.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { makePool, promptly, serverUrl, watch } from "../support/pgPool.js"
import type { TlsServer } from "../support/sockets.js"
import { startWithTls } from "../support/sockets.js"

/** Each role logs in in another way. */
const hba = `
host    all clear    127.0.0.1/32 password
host    all hashed   127.0.0.1/32 md5
host    all trusted  127.0.0.1/32 trust
host    all all      127.0.0.1/32 scram-sha-256
local   all all                   scram-sha-256
`

const Secured = Context.GenericTag<TlsServer>("test/Secured")

const SecuredLive = Layer.scoped(
  Secured,
  Effect.gen(function*() {
    const tls = yield* startWithTls({ hba })
    const server = yield* watch(Redacted.make(tls.url))
    yield* server.query(`
      CREATE ROLE clear LOGIN PASSWORD 'postgres'; CREATE ROLE trusted LOGIN; CREATE ROLE scram LOGIN PASSWORD 'postgres';
      SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'postgres'`)
    return tls
  })
)

const urlOf = (port: number, user: string, query = "") =>
  Redacted.make(`postgres://${user}:postgres@127.0.0.1:${port}/postgres?${query}`)

const comesIn = (options: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const { sql } = yield* makePool({ maxsize: 1, ...options })
    assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
  })

/** A failure that time does not heal, and that says so at once. */
const isRefused = (options: PgPool.PgPoolOptions, ...words: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { pool, sql } = yield* makePool(options)
    const error = yield* promptly(Effect.flip(sql`SELECT 1`))
    for (const word of words) assert.include(error.message, word)
    assert.isFalse(PgError.isRetryable(error))
    assert.strictEqual((yield* pool.stats).size, 0)
  })

/** Whether a password, or what is made of it, passes. */
const watchPasswords = (proxy: Proxy.Proxy) => {
  const sent: Array<string> = []
  proxy.onRequest = (chunk) => {
    if (chunk[0] === "p".charCodeAt(0)) sent.push(chunk.toString("latin1"))
  }
  return sent
}

/** Leaves out the server's messages about the login that have one of these numbers. */
const without = (...kinds: ReadonlyArray<number>) => (answer: Buffer): Buffer => {
  const kept: Array<Buffer> = []
  for (let at = 0; at + 5 <= answer.length;) {
    const end = at + 1 + answer.readInt32BE(at + 1)
    const isOne = answer[at] === "R".charCodeAt(0) && kinds.includes(answer.readInt32BE(at + 5))
    if (!isOne) kept.push(answer.subarray(at, end))
    at = end
  }
  return Buffer.concat(kept)
}

const [ok, saslFinal] = [0, 12]

layer(SecuredLive, { excludeTestServices: true })("R18 requireAuth", (it) => {
  it.scoped("R29: a server that asks in a way that is not allowed is refused before the password is sent", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(Redacted.make((yield* Secured).url))
      const sent = watchPasswords(proxy)
      for (
        const [user, requireAuth, word] of [
          ["clear", "scram-sha-256", "asked for the password in clear text"],
          ["clear", "md5,scram-sha-256", "asked for the password in clear text"],
          ["clear", "!password", "asked for the password in clear text"],
          ["hashed", "scram-sha-256", "asked for an MD5 of the password"],
          ["hashed", "!password,!md5", "asked for an MD5 of the password"],
          ["scram", "password,md5", "asked for SCRAM"],
          ["scram", "gss", "asked for SCRAM"],
          ["trusted", "scram-sha-256", "asked for no password"],
          ["trusted", "!none", "asked for no password"]
        ]
      ) {
        yield* isRefused({ url: urlOf(proxy.port, user), requireAuth }, word, "requireAuth", requireAuth)
      }
      yield* isRefused({ url: urlOf(proxy.port, "hashed", "require_auth=!password%2C%21md5") }, "asked for an MD5")
      assert.deepStrictEqual(sent, [])
    }))

  it.scoped("R29: a server that asks in a way that is allowed is believed", () =>
    Effect.gen(function*() {
      const { port } = yield* Secured
      for (
        const [user, requireAuth] of [
          ["clear", "password"],
          ["clear", "!md5"],
          ["hashed", "md5,scram-sha-256"],
          ["scram", "scram-sha-256"],
          ["scram", "!password,!md5,!none"],
          ["trusted", "none"],
          ["trusted", "!password"],
          ["clear", ""]
        ]
      ) {
        yield* comesIn({ url: urlOf(port, user), requireAuth })
      }
    }))

  it.scoped("R29: an option wins over the URL, and that over PGREQUIREAUTH", () =>
    Effect.gen(function*() {
      const { port } = yield* Secured
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      vi.stubEnv("PGREQUIREAUTH", "scram-sha-256")
      yield* isRefused({ url: urlOf(port, "clear") }, "clear text")
      yield* comesIn({ url: urlOf(port, "clear", "require_auth=password") })
      yield* isRefused({ url: urlOf(port, "clear", "require_auth=password"), requireAuth: "md5" }, "clear text")
    }))

  it.scoped("R29: PgPoolLayer reads PGREQUIREAUTH, also beside DATABASE_URL", () =>
    Effect.gen(function*() {
      const { port } = yield* Secured
      const build = (query: string, requireAuth: string) =>
        Effect.map(
          Layer.build(PgPoolLayer).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(
            new Map([
              ["DATABASE_URL", Redacted.value(urlOf(port, "clear", query))],
              ["PGREQUIREAUTH", requireAuth]
            ])
          ))),
          Context.get(PgPool.PgPool)
        )
      const strict = yield* build("", "scram-sha-256")
      assert.include((yield* promptly(Effect.flip(strict.client`SELECT 1`))).message, "clear text")
      const lenient = yield* build("require_auth=password", "scram-sha-256")
      assert.deepStrictEqual(yield* lenient.client`SELECT 1 AS one`, [{ one: 1 }])
      const error = yield* Effect.flip(build("", "scram"))
      assert.match(String(error), /PGREQUIREAUTH.*scram-sha-256/)
    }))

  it.scoped("R29: listeners too", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ url: urlOf((yield* Secured).port, "clear"), requireAuth: "scram-sha-256" })
      const error = yield* promptly(Effect.flip(Stream.runDrain(sql.listen("channel"))))
      assert.include(error.message, "clear text")
    }))

  it.scoped("R29: a server that has not proved that it knows the password is refused, where SCRAM is required", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(Redacted.make((yield* Secured).url))
      const url = urlOf(proxy.port, "scram")
      proxy.onAnswer = without(saslFinal)
      yield* isRefused({ url, requireAuth: "scram-sha-256" }, "has not proved")
      // That is no login, whatever is required.
      for (const left of [[ok], [saslFinal, ok]]) {
        proxy.onAnswer = without(...left)
        const { sql } = yield* makePool({ url, acquireTimeout: 300, outageTimeout: 300 })
        assert.include((yield* Effect.flip(sql`SELECT 1`)).message, "not the PostgreSQL protocol")
      }
      proxy.onAnswer = (answer) => answer
      yield* comesIn({ url, requireAuth: "scram-sha-256" })
    }))

  it.scoped("R29: good connections go on serving", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(Redacted.make((yield* Secured).url))
      const { pool, sql } = yield* makePool({
        url: urlOf(proxy.port, "scram"),
        requireAuth: "scram-sha-256",
        maxsize: 2,
        maxwait: 0,
        acquireTimeout: "10 seconds"
      })
      yield* Effect.scoped(pool.get)
      proxy.onAnswer = (answer, client) => {
        if (answer[0] !== "R".charCodeAt(0)) return answer
        // AuthenticationCleartextPassword
        client.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
        return undefined
      }
      const sleep = yield* Effect.fork(sql`SELECT pg_sleep(0.5)`)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(sleep)))
    }))
})

/** Somebody between the pool and the server, with a certificate that the pool trusts, who passes on what is said. */
const between = ({ authority, port }: TlsServer) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const ALPNProtocols = ["postgresql"]
      const server = createServer({ ...authority.issue("localhost", ["localhost"]), ALPNProtocols }, (client) => {
        const upstream = connect({ port, host: "127.0.0.1", ALPNProtocols, rejectUnauthorized: false })
        for (const socket of [client, upstream]) socket.on("error", () => {})
        client.pipe(upstream).pipe(client)
        client.on("close", () => upstream.destroy())
        upstream.on("close", () => client.destroy())
      })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      return { server, port: (server.address() as AddressInfo).port }
    }),
    ({ server }) => Effect.sync(() => server.close())
  )

layer(SecuredLive, { excludeTestServices: true })("channel_binding", (it) => {
  const secure = "sslnegotiation=direct&channel_binding"
  const withTls = ({ authority }: TlsServer) => ({ ssl: { ca: authority.cert, servername: "localhost" } })

  it.scoped("R29: the login is bound to the TLS session: nobody in between can pass it on", () =>
    Effect.gen(function*() {
      const tls = yield* Secured
      const { port } = yield* between(tls)
      for (const binding of ["disable", "prefer", "require"]) {
        yield* comesIn({ url: urlOf(tls.port, "scram", `${secure}=${binding}`), ...withTls(tls) })
      }
      yield* comesIn({ url: urlOf(port, "scram", `${secure}=disable`), ...withTls(tls) })
      for (const binding of ["prefer", "require"]) {
        const { sql } = yield* makePool({ url: urlOf(port, "scram", `${secure}=${binding}`), ...withTls(tls) })
        const error = yield* Effect.flip(sql`SELECT 1`)
        assert.include(error.message, "SCRAM channel binding check failed")
      }
    }))

  it.scoped("R29: require: a server that asks for something else is refused", () =>
    Effect.gen(function*() {
      const tls = yield* Secured
      for (const user of ["clear", "hashed", "trusted"]) {
        yield* isRefused(
          { url: urlOf(tls.port, user, `${secure}=require`), ...withTls(tls) },
          "channel_binding=require"
        )
        yield* comesIn({ url: urlOf(tls.port, user, `${secure}=prefer`), ...withTls(tls) })
      }
    }))

  it.scoped("R29: require without TLS is refused when the pool is built", () =>
    Effect.gen(function*() {
      const { place, port } = yield* Secured
      const query = "channel_binding=require"
      for (
        const options of [
          { url: urlOf(port, "scram", query) },
          { url: urlOf(port, "scram", `${query}&sslmode=disable`) },
          { url: urlOf(port, "scram", `${query}&sslmode=no-verify&host=${place}`) },
          { url: urlOf(port, "scram", `${query}&sslmode=no-verify`), ssl: false }
        ]
      ) {
        const defect = yield* Effect.flip(Effect.catchAllDefect(makePool(options), Effect.fail))
        assert.include(String(defect), "channel_binding")
      }
      yield* comesIn({ url: urlOf(port, "scram", "channel_binding=prefer") })
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      for (const value of ["require", "on"]) {
        vi.stubEnv("PGCHANNELBINDING", value)
        const defect = yield* Effect.flip(Effect.catchAllDefect(makePool({ url: urlOf(port, "scram") }), Effect.fail))
        assert.match(String(defect), new RegExp(`PGCHANNELBINDING: "${value}"`))
        yield* comesIn({ url: urlOf(port, "scram", "channel_binding=disable") })
      }
    }))
})

describe("R29: requireAuth as libpq writes it", () => {
  const allowed = (value: unknown) => {
    const requirement = decodeRequirement("requireAuth", value, false)
    return requirement && [...requirement.allowed].sort()
  }

  it("a list, or a list of what may not be used", () => {
    assert.deepStrictEqual(allowed("md5,password"), ["md5", "password"])
    assert.deepStrictEqual(allowed("!md5,!password"), ["gss", "none", "oauth", "scram-sha-256", "sspi"])
    assert.isUndefined(allowed(""))
  })

  for (
    const bad of [
      ...["scram", "SCRAM-SHA-256", "md5,", ",", "md5, password", "md5,!password", "!", "!!md5", "md5,md5", " "],
      ...["!md5,!md5", "scram-sha-256-plus", "any", 5, null, ["md5"]]
    ]
  ) {
    it.effect(`${JSON.stringify(bad)} is refused by name`, () =>
      Effect.gen(function*() {
        const options = { url: serverUrl, requireAuth: bad as never }
        const defect = yield* Effect.flip(Effect.catchAllDefect(
          Effect.scoped(Layer.build(PgPool.layer(options))),
          Effect.fail
        ))
        assert.match(String(defect), /requireAuth.*scram-sha-256/)
      }))
  }
})
