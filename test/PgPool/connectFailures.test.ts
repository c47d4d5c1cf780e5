import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, FastCheck as fc, Fiber, Logger, Redacted, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import dns from "node:dns"
import { Socket } from "node:net"
import { errorResponse } from "../../src/internal/testing/messages.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import * as Fake from "../support/fakeServer.js"
import { admitLogins, answerLogins } from "../support/logins.js"
import { causeTagOf, eventually, makePool, promptly, serverUrl, uniqueName } from "../support/pgPool.js"

/** A way to the server on which new connects can be made to fail. */
interface Way {
  readonly options: PgPool.PgPoolOptions
  /** Connects so far. */
  readonly dials: number
  /** From now on new connects fail with that code. */
  readonly fail: (code: string) => void
  readonly heal: () => void
}

const named = (host: string): Redacted.Redacted => {
  const url = new URL(Redacted.value(serverUrl))
  url.hostname = host
  return Redacted.make(url.href)
}

const systemError = (syscall: string, code: string): Error =>
  Object.assign(new Error(`${syscall} ${code}`), { code, syscall })

/** The server's name can't be resolved. */
const lookUps = Effect.gen(function*() {
  const { lookup } = dns
  const { hostname } = new URL(Redacted.value(serverUrl))
  const host = `${uniqueName()}.internal`
  let code: string | undefined
  const way = {
    options: { url: named(host) },
    dials: 0,
    fail: (failure: string) => void (code = failure),
    heal: () => void (code = undefined)
  }
  const stand = (name: string, options: object, callback: (...args: Array<any>) => void) => {
    if (name !== host) return lookup(name, options, callback as never)
    way.dials++
    if (code === undefined) return lookup(hostname, options, callback as never)
    setImmediate(callback, systemError("getaddrinfo", code))
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => Object.assign(dns, { lookup: stand })),
    () => Effect.sync(() => Object.assign(dns, { lookup }))
  )
  return way as Way
})

/** This machine, or the network, does not let a socket connect. */
const sockets = Effect.sync((): Way => {
  let code: string | undefined
  const way = {
    options: {
      url: serverUrl,
      stream: () => {
        way.dials++
        const socket = new Socket()
        if (code === undefined) return socket
        const error = systemError("connect", code)
        return Object.assign(socket, { connect: () => (process.nextTick(() => socket.destroy(error)), socket) })
      }
    },
    dials: 0,
    fail: (failure: string) => void (code = failure),
    heal: () => void (code = undefined)
  }
  return way
})

/** The server, or a pooler, refuses a login. */
const logins = Effect.map(Proxy.start(serverUrl), (proxy): Way => ({
  options: { url: proxy.url },
  get dials() {
    return proxy.accepted
  },
  fail: (code) => answerLogins(proxy, errorResponse(code)),
  heal: () => admitLogins(proxy)
}))

const ways = { "a look-up": lookUps, "a socket": sockets, "a login": logins } as const

/** Known codes, and any others that the same place could name. */
const codes: Record<keyof typeof ways, { readonly known: ReadonlyArray<string>; readonly any: fc.Arbitrary<string> }> =
  {
    "a look-up": {
      known: ["ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EMFILE"],
      any: fc.stringMatching(/^E(AI_)?[A-Z]{3,10}$/)
    },
    "a socket": {
      known: [
        "EMFILE",
        "ENFILE",
        "EADDRNOTAVAIL",
        "ENETDOWN",
        "EHOSTDOWN",
        "ENOBUFS",
        "EACCES",
        "EPERM",
        "ECONNREFUSED"
      ],
      any: fc.stringMatching(/^E[A-Z0-9]{3,12}$/)
    },
    "a login": {
      known: ["55000", "42501", "57P03", "57P04", "53300", "XX000", "58000", "08006", "57014"],
      any: fc.stringMatching(/^[0-9A-Z]{5}$/).filter((code) =>
        !/^(28...|3D000|0A000|22023|42601|42602|42704|55P02)$/.test(code)
      )
    }
  }

/** As many as `connectRetry` has delays for, and those that were under way together when it began. */
const isBounded = (dials: number, millis: number, callers: number): void =>
  assert.isAtMost(dials, callers + 2 + millis / 40, `${dials} dials in ${millis} ms`)

const messages = <A, E, R>(f: (logs: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const logs: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void logs.push(`${logLevel.label} ${String(message)}`))
    return Effect.provide(f(logs), Logger.replace(Logger.defaultLogger, logger))
  })

describe("R18: a connect failure that is not known to be permanent is waited out", () => {
  for (const [name, make] of Object.entries(ways) as Array<[keyof typeof ways, Effect.Effect<Way>]>) {
    for (const code of [...codes[name].known, ...fc.sample(codes[name].any, 4)]) {
      it.scopedLive(`R18: ${name} that fails with ${code}: two connections serve everybody, and more are opened after it`, () =>
        messages((logs) =>
          Effect.gen(function*() {
            const way = yield* make
            const { pool, sql } = yield* makePool({ ...way.options, name: "test", maxsize: 4, maxoverflow: 4, warm: 2 })
            yield* eventually(pool.stats, ({ idle }) => idle === 2)
            way.fail(code)
            const [before, started] = [way.dials, Date.now()]
            const use = sql`SELECT pg_sleep(0.02)`
            yield* Effect.all(Effect.replicate(use, 20), { concurrency: "unbounded" })
            isBounded(way.dials - before, Date.now() - started, 20)
            assert.strictEqual((yield* pool.stats).opened, 2)
            const warnings = logs.filter((line) => line.startsWith("WARN"))
            assert.strictEqual(warnings.length, 1)
            assert.match(warnings[0], /^WARN test: Connects fail, and another one is tried.*: Failed to connect: /)
            way.heal()
            const callers = yield* Effect.fork(
              Effect.all(Effect.replicate(Effect.forever(use), 4), { concurrency: "unbounded" })
            )
            yield* eventually(pool.stats, ({ busy }) => busy === 4)
            yield* Fiber.interrupt(callers)
          })
        ))
    }

    it.scopedLive(`R18: ${name} that fails: with no connection open callers wait, and hear the reason in the end`, () =>
      Effect.gen(function*() {
        const way = yield* make
        const code = codes[name].known[0]
        way.fail(code)
        const patient = yield* makePool(way.options)
        const started = Date.now()
        const callers = yield* Effect.fork(
          Effect.all(Effect.replicate(patient.sql`SELECT 1 AS one`, 10), { concurrency: "unbounded" })
        )
        yield* eventually(patient.pool.stats, ({ closed }) => closed.failed >= 12)
        isBounded(way.dials, Date.now() - started, 10)
        way.heal()
        assert.strictEqual((yield* Fiber.join(callers)).length, 10)
        way.fail(code)
        const { sql } = yield* makePool({ ...way.options, acquireTimeout: 200, outageTimeout: 200 })
        const error = yield* promptly(Effect.flip(sql`SELECT 1`))
        assert.strictEqual(causeTagOf(error), "PoolExhausted")
        assert.include(error.message, "The last connect failed: Failed to connect: ")
        assert.isTrue(PgError.isRetryable(error))
        const eager = yield* promptly(Effect.flip(makePool({ ...way.options, eager: true, connectTimeout: 300 })))
        assert.match(eager.message, /^Failed to connect: /)
        assert.isTrue(PgError.isRetryable(eager))
      }))

    it.scopedLive(`R18, R21: ${name} that fails: a listener waits, and outlives it`, () =>
      messages((logs) =>
        Effect.gen(function*() {
          const way = yield* make
          const code = codes[name].known[0]
          way.fail(code)
          const { pool, server } = yield* makePool({ ...way.options, name: "test" })
          const channel = uniqueName()
          const heard: Array<string> = []
          yield* Effect.forkScoped(
            Stream.runForEach(pool.listen(channel), ({ _tag }) => Effect.sync(() => heard.push(_tag)))
          )
          const untilHeard = (tag: string) =>
            eventually(
              Effect.as(server.query("SELECT pg_notify($1, '')", [channel]), heard),
              (heard) => heard.includes(tag)
            )
          yield* eventually(Effect.sync(() => way.dials), (dials) => dials >= 3)
          assert.strictEqual(logs.length, 1)
          assert.match(logs[0], /^WARN test: LISTEN fails, and is tried again: Failed to connect: /)
          way.heal()
          yield* untilHeard("Notification")
          way.fail(code)
          const before = way.dials
          yield* server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE $1", [
            `LISTEN "${channel}"`
          ])
          yield* eventually(Effect.sync(() => way.dials), (dials) => dials >= before + 3)
          way.heal()
          yield* untilHeard("Reconnected")
          // What works for no more than a moment is no end of it.
          yield* eventually(Effect.sync(() => logs), (logs) => logs.length === 2)
          assert.match(logs[1], /^INFO test: LISTEN works again: \d+ had failed in /)
        })
      ))
  }

  it.scopedLive("R18: so is one where some hosts refuse for good, and others fail in a way that may pass", () =>
    Effect.gen(function*() {
      const way = yield* lookUps
      const proxy = yield* Proxy.start(serverUrl)
      answerLogins(proxy, errorResponse("28P01"))
      const { hostname, password, port, username } = new URL(Redacted.value(serverUrl))
      const away = new URL(Redacted.value(way.options.url!)).hostname
      way.fail("ENOTFOUND")
      const { sql } = yield* makePool({
        url: undefined,
        hosts: [`${hostname}:${proxy.port}`, `${away}:${port}`],
        database: "postgres",
        username,
        password: Redacted.make(password)
      })
      const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
      yield* eventually(Effect.sync(() => way.dials), (dials) => dials >= 3)
      way.heal()
      assert.deepStrictEqual(yield* Fiber.join(caller), [{ one: 1 }])
    }))

  it.scopedLive("R18: a session that ends with its login is a connect that failed: it is not opened again on the spot", () =>
    messages((logs) =>
      Effect.gen(function*() {
        const server = yield* Fake.start()
        let logins = 0
        server.onSend = (messages, { at, session }) => {
          if (at !== "login") return messages
          logins++
          session.write(Buffer.concat([...messages, errorResponse("XX000", "no servers")]))
          session.end()
          return []
        }
        const { sql } = yield* makePool({
          name: "test",
          url: undefined,
          host: "127.0.0.1",
          port: server.port,
          username: "app",
          acquireTimeout: 500,
          outageTimeout: 500
        })
        const started = Date.now()
        const error = yield* promptly(Effect.flip(sql`SELECT 1`))
        assert.strictEqual(causeTagOf(error), "PoolExhausted")
        assert.include(error.message, "The last connect failed: Failed to connect: no servers")
        isBounded(logins, Date.now() - started, 1)
        assert.match(logs[0], /^WARN test: Connects fail, .*no servers/)
        const listener = yield* promptly(Effect.flip(Stream.runDrain(sql.listen("channel"))))
        assert.include(listener.message, "no servers")
      })
    ))

  it.scopedLive("R18: the words of a server may pass, also where pg or this pool has the same for what does not", () =>
    Effect.gen(function*() {
      for (
        const words of [
          "SASL: the backend was lost",
          "client password must be a string",
          "The server does not support SSL connections"
        ]
      ) {
        const proxy = yield* Proxy.start(serverUrl)
        answerLogins(proxy, errorResponse("XX000", words))
        const { sql } = yield* makePool({ url: proxy.url })
        const caller = yield* Effect.fork(sql`SELECT 1 AS one`)
        yield* eventually(Effect.sync(() => proxy.accepted), (accepted) => accepted >= 2)
        admitLogins(proxy)
        assert.deepStrictEqual(yield* Fiber.join(caller), [{ one: 1 }])
      }
    }))

  it.scopedLive("R17, R18: what stands in the place of Node's look-up may give one address, or none", () =>
    Effect.gen(function*() {
      const { lookup } = dns
      const host = `${uniqueName()}.internal`
      const answers: Array<ReadonlyArray<unknown>> = [[null, []], [null, undefined], [undefined, "127.0.0.1", 4]]
      const stand = (name: string, options: object, callback: (...args: Array<unknown>) => void) =>
        name === host
          ? setImmediate(() => callback(...(answers.length > 1 ? answers.shift()! : answers[0])))
          : lookup(name, options, callback as never)
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(dns, { lookup: stand })),
        () => Effect.sync(() => Object.assign(dns, { lookup }))
      )
      const { sql } = yield* makePool({ url: named(host) })
      assert.deepStrictEqual(yield* promptly(sql`SELECT 1 AS one`), [{ one: 1 }])
    }))

  it.scopedLive("R18: what a user's stream throws is waited out as well", () =>
    Effect.gen(function*() {
      let failures = 3
      const stream = () => {
        if (failures-- > 0) throw new Error("no sockets today")
        return new Socket()
      }
      const { sql } = yield* makePool({ stream })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      const junk = yield* makePool({ stream: () => ({}) as never, acquireTimeout: 200, outageTimeout: 200 })
      const exit = yield* promptly(Effect.exit(junk.sql`SELECT 1`))
      assert.isTrue(exit._tag === "Failure" && Cause.isFailType(exit.cause))
    }))
})

describe("R18: a connect failure that is known to be permanent", () => {
  const refusals = {
    "28P01": "password authentication failed for user \"app\"",
    "28000": "no pg_hba.conf entry for host \"10.0.0.1\"",
    "3D000": "database \"app\" does not exist",
    "0A000": "unsupported frontend protocol 3.0: server supports 2.0 to 2.0",
    "22023": "invalid value for parameter \"client_encoding\": \"x\"",
    "42704": "unrecognized configuration parameter \"statement_timeot\"",
    "08P01": "unsupported startup parameter: options"
  }
  for (const [code, words] of Object.entries(refusals)) {
    it.scopedLive(`R18: ${code} fails who waits at once, causes two logins a second, and nobody where connections are open`, () =>
      Effect.gen(function*() {
        const proxy = yield* Proxy.start(serverUrl)
        const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 4, warm: 2 })
        yield* eventually(pool.stats, ({ idle }) => idle === 2)
        answerLogins(proxy, errorResponse(code, words))
        yield* Effect.all(Effect.replicate(sql`SELECT pg_sleep(0.02)`, 20), { concurrency: "unbounded" })
        assert.strictEqual((yield* pool.stats).opened, 2)
        const empty = yield* makePool({ url: proxy.url, connectConcurrency: 1 })
        const [before, started] = [proxy.accepted, Date.now()]
        for (let i = 0; i < 50; i++) {
          const error = yield* promptly(Effect.flip(empty.sql`SELECT 1`))
          assert.include(error.message, words)
          assert.isFalse(PgError.isRetryable(error))
        }
        assert.isAtMost(proxy.accepted - before, 3 + (Date.now() - started) / 500)
        yield* promptly(Effect.flip(Stream.runDrain(empty.sql.listen("channel"))))
      }))
  }

  it.scopedLive("R18: the real server's words for a start-up parameter that it doesn't know", () =>
    Effect.gen(function*() {
      for (
        const [options, words] of [["-c nonsense=1", "nonsense"], ["-c work_mem=much", "work_mem"], ["--x", "--x"]]
      ) {
        const url = new URL(Redacted.value(serverUrl))
        url.searchParams.set("options", options)
        const { sql } = yield* makePool({ url: Redacted.make(url.href) })
        assert.include((yield* promptly(Effect.flip(sql`SELECT 1`))).message, words)
      }
    }))

  it.scopedLive("R18: the same code from a statement of onConnect is not", () =>
    Effect.gen(function*() {
      let calls = 0
      const { sql } = yield* makePool({
        onConnect: (connection) => connection.executeRaw(++calls === 1 ? "SET nonsense = 1" : "SELECT 1", [])
      })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }))
})
