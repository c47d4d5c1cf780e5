import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Redacted } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { createSecureContext, createServer } from "node:tls"
import { inspect } from "node:util"
import { vi } from "vitest"
import { isTlsFailure } from "../../src/internal/postgres/errors/tlsAdvice.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import type { Certificate } from "../support/certificates.js"
import { makeAuthority } from "../support/certificates.js"
import type { Server } from "../support/pgPool.js"
import { isSleeping, makePool, nobodySleeps, pidOf, promptly, serverUrl, watch } from "../support/pgPool.js"
import type { TlsServer } from "../support/sockets.js"
import { startWithTls } from "../support/sockets.js"

/** TLS or nothing; `ada` also needs a certificate, and `carol` needs nothing else. */
const hba = `
local   all all                scram-sha-256
hostssl all carol 127.0.0.1/32 cert
hostssl all ada   127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl all all   127.0.0.1/32 scram-sha-256
`

interface Secured extends TlsServer {
  readonly server: Server
  /** Writes files for URLs, and gives their parameters. */
  readonly files: (files: Record<string, string>) => string
}

const Secured = Context.GenericTag<Secured>("test/Secured")

const SecuredLive = Layer.scoped(
  Secured,
  Effect.gen(function*() {
    const tls = yield* startWithTls({ hba })
    const socket = Redacted.make(`postgres://postgres:postgres@/postgres?host=${tls.place}&port=${tls.port}`)
    const server = yield* watch(socket)
    yield* server.query("CREATE ROLE ada LOGIN PASSWORD 'postgres'; CREATE ROLE carol LOGIN PASSWORD 'postgres'")
    const files = (files: Record<string, string>) =>
      Object.entries(files).map(([parameter, content], index) => {
        const path = join(tls.place, `${parameter}-${index}-${content.length}.pem`)
        writeFileSync(path, content)
        return `${parameter}=${path}`
      }).join("&")
    return { ...tls, server, files }
  })
)

const urlOf = (
  { port }: { readonly port: number },
  { host = "localhost", query = "", user = "postgres" } = {}
): Redacted.Redacted => Redacted.make(`postgres://${user}:postgres@${host}:${port}/postgres?${query}`)

/** That a pool has a session of TLS: whose certificate it came with. */
const comesAs = (options: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const { sql } = yield* makePool({ maxsize: 1, ...options })
    const [session] = yield* sql<{ ssl: boolean; client_dn: string | null }>`
      SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()`
    assert.isTrue(session.ssl)
    return session.client_dn
  })

/** A failure that time does not heal, and that says so at once. */
const isRefused = (options: PgPool.PgPoolOptions, words: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { pool, sql } = yield* makePool(options)
    const error = yield* promptly(Effect.flip(sql`SELECT 1`))
    assert.strictEqual(error._tag, "SqlError")
    for (const word of words) assert.include(error.message, word)
    assert.isFalse(PgError.isRetryable(error))
    assert.strictEqual((yield* pool.stats).size, 0)
    return error
  })

layer(SecuredLive, { excludeTestServices: true })("TLS", (it) => {
  describe("R28: a server that is verified", () => {
    it.scoped("by a private authority, in the options and in the URL", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const root = tls.files({ sslrootcert: tls.authority.cert })
        assert.isNull(yield* comesAs({ url: urlOf(tls), ssl: { ca: tls.authority.cert } }))
        for (
          const query of [
            `sslmode=verify-full&${root}`,
            root,
            `sslmode=verify-ca&uselibpqcompat=true&${root}`,
            `sslmode=require&uselibpqcompat=true`,
            `sslmode=no-verify`,
            `ssl=no-verify`
          ]
        ) assert.isNull(yield* comesAs({ url: urlOf(tls, { query }) }))
      }))

    it.scoped("the name is what verify-full looks at, and verify-ca does not", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const root = tls.files({ sslrootcert: tls.authority.cert })
        const host = "127.0.0.1"
        assert.isNull(
          yield* comesAs({ url: urlOf(tls, { host, query: `sslmode=verify-ca&uselibpqcompat=true&${root}` }) })
        )
        for (const query of [`sslmode=verify-full&${root}`, `sslmode=verify-full&uselibpqcompat=true&${root}`]) {
          yield* isRefused({ url: urlOf(tls, { host, query }) }, [
            "127.0.0.1",
            "DNS:localhost",
            "connect by such a name"
          ])
        }
        // By an address, with the name said apart.
        assert.isNull(
          yield* comesAs({ url: urlOf(tls, { host }), ssl: { ca: tls.authority.cert, servername: "localhost" } })
        )
      }))

    it.scoped("the weaker modes of libpq verify in full too, unless libpq's meaning is asked for", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        // `pg-connection-string` warns that it is going to change its mind.
        const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {})
        yield* Effect.addFinalizer(() => Effect.sync(() => warn.mockRestore()))
        for (const mode of ["allow", "prefer", "require", "verify-ca", "verify-full"]) {
          yield* isRefused({ url: urlOf(tls, { query: `sslmode=${mode}` }) }, ["sslrootcert"])
        }
      }))

    it.scoped("another name is refused, and both names are said", () =>
      Effect.gen(function*() {
        const tls = yield* startWithTls({
          certificate: (authority) => authority.issue("db", ["db.internal", "db2.internal"])
        })
        const error = yield* isRefused(
          { url: urlOf(tls), ssl: { ca: tls.authority.cert } },
          ["localhost", "DNS:db.internal", "DNS:db2.internal"]
        )
        assert.isTrue(isTlsFailure(error.cause))
      }))

    it.scoped("another authority is refused, and it is said what to give", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const ca = makeAuthority("Somebody else").cert
        for (
          const options of [
            { url: urlOf(tls), ssl: { ca } },
            { url: urlOf(tls), ssl: true },
            { url: urlOf(tls, { query: `sslmode=verify-full&${tls.files({ sslrootcert: ca })}` }) },
            { url: urlOf(tls, { query: "sslnegotiation=direct" }) }
          ]
        ) {
          const error = yield* isRefused(options, ["certificate", "ssl.ca", "sslrootcert"])
          assert.isTrue(isTlsFailure(error.cause))
        }
      }))

    it.scoped("a certificate that is out of date is refused", () =>
      Effect.gen(function*() {
        const tls = yield* startWithTls({
          certificate: (authority) => authority.issue("localhost", ["localhost"], { from: -3, to: -1 })
        })
        const error = yield* isRefused({ url: urlOf(tls), ssl: { ca: tls.authority.cert } }, ["expired", "clock"])
        assert.isTrue(isTlsFailure(error.cause))
      }))

    it.scoped("its name is sent for who has to choose a certificate by it (SNI)", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const proxy = yield* Proxy.start(Redacted.make(tls.url))
        let hello = ""
        proxy.onRequest = (chunk) => {
          if (chunk[0] === 22) hello += chunk.toString("latin1")
        }
        yield* comesAs({ url: urlOf(proxy), ssl: { ca: tls.authority.cert } })
        assert.include(hello, "localhost")
      }))
  })

  describe("R28: a client that is verified", () => {
    const given = ({ cert, key }: Certificate) => ({ sslcert: cert, sslkey: key })

    it.scoped("by its certificate alone, or by its password as well", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const ca = tls.authority.cert
        for (const user of ["carol", "ada"]) {
          const own = tls.authority.issue(user)
          assert.strictEqual(yield* comesAs({ url: urlOf(tls, { user }), ssl: { ca, ...own } }), `/CN=${user}`)
          const query = `sslmode=verify-full&${tls.files({ sslrootcert: ca, ...given(own) })}`
          assert.strictEqual(yield* comesAs({ url: urlOf(tls, { user, query }) }), `/CN=${user}`)
        }
      }))

    it.scoped("without one, with another one and with a stranger's it is refused, and it is said what to give", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const ca = tls.authority.cert
        const advice = ["ssl.cert and ssl.key", "sslcert and sslkey"]
        for (const user of ["carol", "ada"]) {
          const url = urlOf(tls, { user })
          yield* isRefused({ url, ssl: { ca } }, ["requires a valid client certificate", ...advice])
          const stranger = makeAuthority("Somebody else").issue(user)
          const error = yield* isRefused({ url, ssl: { ca, ...stranger } }, ["alert unknown ca", ...advice])
          assert.isTrue(isTlsFailure(error.cause))
          const other = yield* isRefused({ url, ssl: { ca, ...tls.authority.issue("eve") } }, [`"${user}"`])
          assert.match(Option.getOrThrow(PgError.sqlState(other)), /^28/)
        }
      }))

    it.scoped("without TLS it is refused, and it is said what to set", () =>
      Effect.gen(function*() {
        yield* isRefused({ url: urlOf(yield* Secured, { host: "127.0.0.1" }) }, ["no encryption", "sslmode"])
      }))

    it.scoped("an object of options is left as it was, so that it can be given twice", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const ssl = Object.freeze({ ca: tls.authority.cert, ...tls.authority.issue("carol") })
        const before = { ...ssl }
        for (let i = 0; i < 2; i++) {
          assert.strictEqual(yield* comesAs({ url: urlOf(tls, { user: "carol" }), ssl }), "/CN=carol")
        }
        assert.deepStrictEqual({ ...ssl }, before)
      }))

    it.scoped("no key is in the output of anything", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        const own = tls.authority.issue("carol")
        const secrets = [own.key.slice(200, 240), "the passphrase"]
        const given = { ca: tls.authority.cert, ...own, passphrase: "the passphrase" }
        for (const ssl of [given, { ...given, secureContext: createSecureContext(given) }]) {
          const { pool, sql } = yield* makePool({ url: urlOf(tls, { user: "carol" }), ssl })
          const connection = yield* pool.get
          const [{ stream }] = [connection.pg as unknown as { connection: { stream: unknown } }].map((pg) =>
            pg.connection
          )
          for (const value of [pool, sql, sql.config, connection, connection.pg, stream]) {
            const text = inspect(value, { depth: Infinity, maxStringLength: null })
            for (const secret of secrets) assert.notInclude(text, secret)
          }
          for (const secret of secrets) assert.notInclude(JSON.stringify(sql.config), secret)
          assert.strictEqual((sql.config.ssl as typeof ssl).key, own.key)
        }
      }))
  })

  describe("R28: ways to negotiate", () => {
    const kinds = { "SSLRequest first": "postgres", "TLS at once": "direct" } as const
    for (const [name, sslNegotiation] of Object.entries(kinds)) {
      it.scoped(`R16: ${name}: the session, and the cancel too`, () =>
        Effect.gen(function*() {
          const tls = yield* Secured
          const proxy = yield* Proxy.start(Redacted.make(tls.url))
          const ssl = { ca: tls.authority.cert, ...tls.authority.issue("ada") }
          const files = tls.files({ sslrootcert: ssl.ca, sslcert: ssl.cert, sslkey: ssl.key })
          for (
            const options of [
              { url: urlOf(proxy, { user: "ada" }), ssl, sslNegotiation },
              { url: urlOf(proxy, { user: "ada", query: `${files}&sslnegotiation=${sslNegotiation}` }) }
            ]
          ) {
            const firsts: Array<Buffer> = []
            const { app, sql } = yield* makePool({
              ...options,
              maxsize: 1,
              maxoverflow: 1,
              cleanupTimeout: "10 seconds"
            })
            const pid = yield* pidOf(sql)
            const accepted = proxy.accepted
            const sleep = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
            yield* tls.server.until(app, (sessions) => sessions.some(isSleeping))
            proxy.onRequest = (chunk) => {
              if (proxy.accepted > accepted) firsts.push(chunk)
            }
            yield* promptly(Fiber.interrupt(sleep))
            yield* tls.server.until(app, nobodySleeps)
            assert.strictEqual(yield* pidOf(sql), pid)
            assert.strictEqual(proxy.accepted, accepted + 1)
            // 80877103 asks for TLS; 22 is a handshake of it.
            if (sslNegotiation === "postgres") assert.strictEqual(firsts.shift()!.readInt32BE(4), 80877103)
            assert.strictEqual(firsts.shift()![0], 22)
            // 80877102 would be a CancelRequest for all to read.
            assert.isFalse(firsts.some((chunk) => chunk.length >= 8 && chunk.readInt32BE(4) === 80877102))
          }
        }))
    }

    it.scoped("R16: the cancel is for the same name as the session, whatever ssl.servername says", () =>
      Effect.gen(function*() {
        const tls = yield* Secured
        for (const [host, servername] of [["localhost", "another"], ["127.0.0.1", "localhost"]]) {
          const { app, sql } = yield* makePool({
            url: urlOf(tls, { host }),
            ssl: { ca: tls.authority.cert, servername },
            maxsize: 1,
            cleanupTimeout: "10 seconds"
          })
          const pid = yield* pidOf(sql)
          const sleep = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
          yield* tls.server.until(app, (sessions) => sessions.some(isSleeping))
          yield* promptly(Fiber.interrupt(sleep))
          yield* tls.server.until(app, nobodySleeps)
          assert.strictEqual(yield* pidOf(sql), pid)
        }
      }))

    it.scoped("TLS at once: nothing is sent to a server that has not agreed on the protocol (ALPN)", () =>
      Effect.gen(function*() {
        const { authority } = yield* Secured
        for (const ALPNProtocols of [undefined, ["postgresql"]]) {
          const received: Array<Buffer> = []
          const options = { ...authority.issue("localhost", ["localhost"]), ...(ALPNProtocols && { ALPNProtocols }) }
          const other = yield* Effect.acquireRelease(
            Effect.promise(async () => {
              const server = createServer(options, (socket) => {
                socket.on("error", () => {})
                socket.on("data", (chunk) => {
                  received.push(chunk)
                  socket.destroy()
                })
              })
              server.listen(0, "127.0.0.1")
              await once(server, "listening")
              return server
            }),
            (server) => Effect.sync(() => server.close())
          )
          const pool = {
            url: urlOf(other.address() as AddressInfo, { host: "127.0.0.1" }),
            ssl: { ca: authority.cert, servername: "localhost" },
            sslNegotiation: "direct" as const
          }
          if (ALPNProtocols === undefined) {
            const error = yield* isRefused(pool, ["has not agreed", "ALPN", "PostgreSQL 17"])
            assert.isTrue(isTlsFailure(error.cause))
            assert.deepStrictEqual(received, [])
          } else {
            const { sql } = yield* makePool({ ...pool, acquireTimeout: 300, outageTimeout: 300 })
            yield* Effect.flip(sql`SELECT 1`)
            assert.isAbove(received.length, 0)
          }
        }
      }))

    it.scoped("no TLS on a Unix socket, whatever is asked for", () =>
      Effect.gen(function*() {
        const { place, port, server } = yield* Secured
        const socket = { path: place, port, username: "postgres", database: "postgres" }
        const options = { ...socket, url: undefined, password: Redacted.make("postgres"), maxsize: 1 }
        for (const tls of [{ ssl: true }, { ssl: true, sslNegotiation: "direct" as const }]) {
          const { app, sql } = yield* makePool({ ...options, ...tls, cleanupTimeout: "10 seconds" })
          const pid = yield* pidOf(sql)
          const sleep = yield* Effect.fork(sql`SELECT pg_sleep(60)`)
          yield* server.until(app, (sessions) => sessions.some(isSleeping))
          yield* promptly(Fiber.interrupt(sleep))
          yield* server.until(app, nobodySleeps)
          assert.strictEqual(yield* pidOf(sql), pid)
        }
        const query = `host=${place}&port=${port}&sslmode=no-verify&sslnegotiation=direct`
        const { sql } = yield* makePool({ url: Redacted.make(`postgres://postgres:postgres@/postgres?${query}`) })
        assert.deepStrictEqual(yield* sql`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`, [{ ssl: false }])
      }))
  })
})

describe("R28: a server without TLS", () => {
  const withQuery = (query: string) => Redacted.make(`${Redacted.value(serverUrl)}?${query}`)

  it.scopedLive("is not used, and it is said what to set", () =>
    Effect.gen(function*() {
      for (const options of [{ url: serverUrl, ssl: true }, { url: withQuery("sslmode=no-verify") }]) {
        const error = yield* isRefused(options, ["does not support SSL", "ssl = on", "sslmode"])
        assert.isTrue(isTlsFailure(error.cause))
      }
    }))

  it.scopedLive("ends a direct handshake; time may heal that, and it is said what may not", () =>
    Effect.gen(function*() {
      const patience = { acquireTimeout: 300, outageTimeout: 300 }
      const { sql } = yield* makePool({ url: withQuery("sslmode=no-verify&sslnegotiation=direct"), ...patience })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.include(error.message, "PostgreSQL 17")
      assert.isFalse(isTlsFailure(error.cause))
    }))
})

describe("R28: settings of TLS that are wrong", () => {
  const dies = (options: PgPool.PgPoolOptions) =>
    Effect.flip(Effect.catchAllDefect(
      Effect.scoped(Layer.build(PgPool.layer(options))),
      (defect) => Effect.fail(defect as Error)
    ))
  const url = (query: string) => ({ url: Redacted.make(`postgres://ada:s3cret@localhost/postgres?${query}`) })

  it.effect("are refused when the pool is built, by their names", () =>
    Effect.gen(function*() {
      const authority = makeAuthority("Any")
      const { cert } = authority.issue("ada")
      const { key } = authority.issue("ada")
      const wrong: Array<[options: PgPool.PgPoolOptions, words: Array<string>]> = [
        [url("sslmode=verify-fully"), ["sslmode", "verify-fully", "verify-full"]],
        [url("sslnegotiation=yes"), ["sslnegotiation", "yes", "direct"]],
        [url("ssl=maybe"), ["ssl", "maybe", "no-verify"]],
        [url("sslrootcert=/no/such/file"), ["/no/such/file"]],
        [url("sslmode=disable&sslnegotiation=direct"), ["ssl", "direct"]],
        [{ ssl: false, sslNegotiation: "direct" }, ["ssl", "direct"]],
        [{ ssl: { cert, key } }, ["ssl", "key"]],
        [{ ssl: { key: "s3cret" } }, ["ssl"]]
      ]
      for (const [options, words] of wrong) {
        const { message } = (yield* dies(options)) as Error
        for (const word of words) assert.include(message, word)
        assert.notInclude(message, "s3cret")
      }
    }))

  it.scopedLive("ssl=false in the URL is no TLS", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ url: Redacted.make(`${Redacted.value(serverUrl)}?ssl=false`) })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))
})
