import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import { createHash } from "node:crypto"
import { createRequire } from "node:module"
import { authentication, errorResponse } from "../../src/internal/testing/messages.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { eventually, makePool, promptly, serverUrl } from "../support/pgPool.js"

const withPassword = (password: string, url = serverUrl): Redacted.Redacted => {
  const changed = new URL(Redacted.value(url))
  changed.password = password
  return Redacted.make(changed.href)
}

/** Who logs in so fails at once, with that reason, and no more than two logins a second are tried. */
const isRefused = (options: PgPool.PgPoolOptions, proxy: Proxy.Proxy, words: RegExp) =>
  Effect.gen(function*() {
    const { pool, sql } = yield* makePool({ ...options, connectConcurrency: 1 })
    const [before, started] = [proxy.accepted, Date.now()]
    for (let i = 0; i < 20; i++) {
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.match(error.message, words)
      assert.isFalse(PgError.isRetryable(error))
    }
    assert.isAtMost(proxy.accepted - before, 1 + (Date.now() - started) / 500)
    const listener = yield* promptly(Effect.flip(Stream.runDrain(pool.listen("channel"))))
    assert.match(listener.message, words)
    const eager = yield* promptly(Effect.flip(makePool({ ...options, eager: true })))
    assert.match(eager.message, words)
  })

describe("R18: a server that asks for a password", () => {
  const none = /^Failed to connect: The server asks for a password, and none was given. Set password/

  it.scopedLive("R18: and gets none, or an empty one: permanent, and said", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      yield* isRefused({ url: withPassword("", proxy.url) }, proxy, none)
      const password = Redacted.make("")
      yield* isRefused({ url: proxy.url, password }, proxy, none)
      yield* isRefused({ url: proxy.url, password: Effect.succeed(password) }, proxy, none)
    }))

  it.scopedLive("R18: the same where it asks for it in clear text, or as MD5", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      for (const asked of [authentication(3), authentication(5, "salt")]) {
        proxy.onAnswer = (chunk, client) => {
          if (chunk[0] !== "R".charCodeAt(0)) return chunk
          client.write(asked)
          client.once("data", () => client.end(errorResponse("28P01", "password authentication failed")))
          return undefined
        }
        yield* isRefused({ url: withPassword("", proxy.url) }, proxy, none)
      }
    }))

  it.scopedLive("R18: nobody hears of it where connections are open, and it is over when there is one", () =>
    Effect.gen(function*() {
      const right = new URL(Redacted.value(serverUrl)).password
      let given = right
      const { pool, sql } = yield* makePool({
        url: withPassword(""),
        password: Effect.sync(() => Redacted.make(given)),
        maxsize: 4,
        warm: 1
      })
      yield* eventually(pool.stats, ({ idle }) => idle === 1)
      given = ""
      yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.02)`, 10), { concurrency: "unbounded" })
      assert.strictEqual((yield* pool.stats).opened, 1)
      given = right
      yield* Effect.raceFirst(
        Effect.all(Effect.replicate(Effect.forever(sql`SELECT pg_sleep(0.02)`), 4), { concurrency: "unbounded" }),
        eventually(pool.stats, ({ busy }) => busy === 4)
      )
    }))

  it.scopedLive("R18: a wrong one is told in the server's words", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      yield* isRefused({ url: withPassword("wrong", proxy.url) }, proxy, /^Failed to connect: password authentication/)
    }))
})

describe("R18: a server that asks for an authentication that is not known", () => {
  const methods: ReadonlyArray<[answer: Buffer, words: RegExp]> = [
    [authentication(7), /^Failed to connect: The server asks for an authentication .*: GSSAPI\. Let its pg_hba.conf/],
    [authentication(9), /: SSPI\./],
    [authentication(2), /: Kerberos V5\./],
    [authentication(6), /: SCM credentials\./],
    [authentication(4711), /: method 4711\./],
    [authentication(10, "OAUTHBEARER\0\0"), /: SASL without SCRAM-SHA-256\./]
  ]
  for (const [answer, words] of methods) {
    it.scopedLive(`R18: ${String(words)}: permanent, and said`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 4, warm: 1 })
        yield* eventually(pool.stats, ({ idle }) => idle === 1)
        // The server waits for our answer to its own question: so ours stays open until it is read.
        proxy.onAnswer = (chunk, client) => chunk[0] === "R".charCodeAt(0) ? (client.write(answer), undefined) : chunk
        yield* isRefused({ url: proxy.url }, proxy, words)
        yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.02)`, 10), { concurrency: "unbounded" })
        assert.strictEqual((yield* pool.stats).opened, 1)
      }))
  }

  it.scopedLive("R18: or says things in SCRAM that can't be right", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.onAnswer = (chunk, client) => {
        // The server's own nonce.
        const isContinue = chunk[0] === "R".charCodeAt(0) && chunk.readInt32BE(5) === 11
        return isContinue ? (client.write(authentication(11, "r=short,s=c2FsdA==,i=4096")), undefined) : chunk
      }
      yield* isRefused({ url: proxy.url }, proxy, /can't be logged in to by SCRAM: .*nonce/)
    }))
})

describe("R18: what pg tells by an event alone", () => {
  const crypto = createRequire(import.meta.url)("node:crypto") as { createHash: typeof createHash }

  it.scopedLive("R18: as where this machine forbids MD5: told at once, and waited out", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.onAnswer = (chunk, client) => (client.write(authentication(5, "salt")), chunk.subarray(chunk.length))
      const forbidden = (name: string) => {
        if (name === "md5") throw new Error("digital envelope routines::unsupported")
        return createHash(name)
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(crypto, { createHash: forbidden })),
        () => Effect.sync(() => Object.assign(crypto, { createHash }))
      )
      const { sql } = yield* makePool({
        url: proxy.url,
        acquireTimeout: 500,
        outageTimeout: 500,
        connectTimeout: 60_000
      })
      const error = yield* promptly(Effect.flip(sql`SELECT 1`))
      assert.match(error.message, /The last connect failed: Failed to connect: .*algorithm/)
    }))
})
