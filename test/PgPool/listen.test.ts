import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Logger, Option, Redacted, Stream } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import { errorResponse, message } from "../../src/internal/testing/messages.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import type { Backend, TestPool } from "../support/pgPool.js"
import { causeTagOf, eventually, makePool, pause, promptly, serverUrl, uniqueName } from "../support/pgPool.js"

const listening = (sessions: ReadonlyArray<Backend>) => sessions.filter(({ query }) => query.startsWith("LISTEN"))

/** Listens for the life of the scope, and gives what it has heard so far. */
const hear = (pool: PgPool.PgPool, channel: string) =>
  Effect.gen(function*() {
    const heard: Array<PgPool.ListenEvent> = []
    const fiber = yield* Effect.forkScoped(
      Stream.runForEach(pool.listen(channel), (event) => Effect.sync(() => heard.push(event)))
    )
    return { heard, fiber }
  })

/** Notifies until it is heard. */
const untilHeard = ({ sql }: TestPool, channel: string, payload: string, heard: ReadonlyArray<PgPool.ListenEvent>) =>
  eventually(
    Effect.as(Effect.ignore(sql.notify(channel, payload)), heard),
    (heard) => heard.some((event) => event._tag === "Notification" && event.payload === payload)
  )

describe("R21: listen", () => {
  it.scopedLive("notify and listen: each listener its channel, in order, until it is left", () =>
    Effect.gen(function*() {
      const [one, two] = [uniqueName(), uniqueName() + "\"Odd"]
      const { pool, sessions, sql, until } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
      const collect = (channel: string, count: number) =>
        Effect.fork(Effect.map(Stream.runCollect(Stream.take(sql.listen(channel), count)), Chunk.toReadonlyArray))
      const ones = yield* collect(one, 3)
      const others = yield* collect(one, 2)
      const twos = yield* collect(two, 1)
      yield* until((sessions) => sessions.length === 1)
      yield* pause(300)
      for (const payload of ["a", "b", "c", "it's $1"]) yield* sql.notify(one, payload)
      yield* sql.notify(two, "x")
      assert.deepStrictEqual(yield* promptly(Fiber.join(ones)), ["a", "b", "c"])
      assert.deepStrictEqual(yield* promptly(Fiber.join(others)), ["a", "b"])
      assert.deepStrictEqual(yield* promptly(Fiber.join(twos)), ["x"])
      // R21: beyond the limits of the pool, and gone after its last listener.
      assert.strictEqual((yield* pool.stats).opened, 1)
      yield* until((sessions) => sessions.length === 1)
      assert.strictEqual((yield* sessions).length, 1)
    }))

  it.scopedLive("R18: listeners outlive failures of onConnect when their session is opened again, defects too", () =>
    Effect.gen(function*() {
      for (const failure of [Effect.fail("not now"), Effect.die(new Error("a bug in onConnect")), Effect.interrupt]) {
        let failures = -1
        const test = yield* makePool({ onConnect: () => Effect.suspend(() => failures-- > 0 ? failure : Effect.void) })
        const channel = uniqueName()
        const { heard } = yield* hear(test.pool, channel)
        yield* untilHeard(test, channel, "a", heard)
        const [{ pid }] = listening(yield* test.sessions)
        failures = 2
        yield* test.server.terminate(pid)
        yield* eventually(Effect.succeed(heard), (heard) => heard.some(({ _tag }) => _tag === "Reconnected"))
        assert.isBelow(failures, 0)
      }
    }))

  it.scopedLive("R18: who waits for its first connection hears of a defect of onConnect after outageTimeout", () =>
    Effect.gen(function*() {
      const onConnect = () => Effect.die(new Error("a bug in onConnect"))
      const { sql } = yield* makePool({ onConnect, acquireTimeout: 300, outageTimeout: 300 })
      const error = yield* promptly(Effect.flip(Stream.runDrain(sql.listen("channel"))))
      assert.include(error.message, "a bug in onConnect")
    }))

  it.scopedLive("R21: a name that no channel can have is refused, and disturbs nobody", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const channel = uniqueName()
      const { heard } = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "a", heard)
      for (const name of [undefined as never, "", "x".repeat(64), "\u00e9".repeat(32)]) {
        const error = yield* promptly(Effect.flip(Stream.runDrain(test.pool.listen(name))))
        assert.match(String(error.cause), /name of a channel is a string of 1 to 63 bytes/)
      }
      yield* untilHeard(test, channel, "b", heard)
    }))

  it.scopedLive("R21: a listener that goes leaves the others of its channel", () =>
    Effect.gen(function*() {
      const channel = uniqueName()
      const { sql } = yield* makePool()
      const heard: Array<string> = []
      const first = yield* Effect.fork(Stream.runDrain(sql.listen(channel)))
      const second = yield* Effect.fork(
        Stream.runForEach(sql.listen(channel), (payload) => Effect.sync(() => heard.push(payload)))
      )
      const tell = (payload: string) => Effect.zipRight(sql.notify(channel, payload), Effect.sync(() => heard))
      yield* eventually(tell("a"), (heard) => heard.includes("a"))
      yield* promptly(Fiber.interrupt(first))
      yield* eventually(tell("b"), (heard) => heard.includes("b"))
      yield* promptly(Fiber.interrupt(second))
    }))

  it.scopedLive("R21: a listener that comes just when the last one of its channel has gone hears", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url })
      const channel = uniqueName()
      const first = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "a", first.heard)
      // The session is asked for a third channel meanwhile, so that it can't leave this one between the two.
      proxy.delay = 100
      yield* hear(test.pool, uniqueName())
      yield* pause(20)
      yield* promptly(Fiber.interrupt(first.fiber))
      const second = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "b", second.heard)
    }))

  it.scopedLive("notify inside a transaction is heard after its commit, and not after its rollback", () =>
    Effect.gen(function*() {
      const channel = uniqueName()
      const { sql } = yield* makePool()
      const heard: Array<string> = []
      yield* Effect.fork(Stream.runForEach(sql.listen(channel), (payload) => Effect.sync(() => heard.push(payload))))
      yield* eventually(
        Effect.zipRight(sql.notify(channel, "ready"), Effect.sync(() => heard)),
        (heard) => heard.length > 0
      )
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql.notify(channel, "lost"), Effect.fail("no"))))
      yield* sql.withTransaction(sql.notify(channel, "kept"))
      yield* eventually(Effect.sync(() => heard), (heard) => heard.includes("kept"))
      assert.notInclude(heard, "lost")
    }))

  it.scopedLive("R21: a connection that is lost while it is asked to listen fails nobody", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url })
      const [one, two] = [uniqueName(), uniqueName()]
      const first = yield* hear(test.pool, one)
      yield* untilHeard(test, one, "a", first.heard)
      proxy.onRequest = (chunk) => {
        if (!chunk.includes(`LISTEN "${two}"`)) return
        proxy.onRequest = () => {}
        proxy.reset()
      }
      const second = yield* hear(test.pool, two)
      yield* untilHeard(test, two, "b", second.heard)
      yield* untilHeard(test, one, "b", first.heard)
    }))

  it.live("as a function of the module it needs the pool of the layer", () =>
    Effect.gen(function*() {
      const pool = yield* PgPool.PgPool
      const channel = uniqueName()
      const first = yield* Effect.fork(Stream.runHead(PgPool.listen(channel)))
      yield* eventually(
        Effect.zipRight(pool.client.notify(channel, "a"), Fiber.poll(first)),
        Option.isSome
      )
      assert.deepStrictEqual(yield* Fiber.join(first), Option.some({ _tag: "Notification" as const, payload: "a" }))
    }).pipe(Effect.provide(PgPool.layer({ url: serverUrl }))))

  it.scopedLive("an empty payload is heard", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const channel = uniqueName()
      const { heard } = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "", heard)
    }))

  it.scopedLive("R21: after its connection was lost it connects and listens again, and tells so", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const [one, two] = [uniqueName(), uniqueName()]
      const first = yield* hear(test.pool, one)
      const second = yield* hear(test.pool, two)
      const plain: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(test.sql.listen(one), (payload) => Effect.sync(() => plain.push(payload)))
      )
      yield* untilHeard(test, one, "a", first.heard)
      yield* untilHeard(test, two, "a", second.heard)
      for (const payload of ["b", "c"]) {
        const [{ pid }] = listening(yield* test.sessions)
        yield* test.server.terminate(pid)
        yield* untilHeard(test, one, payload, first.heard)
        yield* untilHeard(test, two, payload, second.heard)
      }
      for (const { heard } of [first, second]) {
        assert.strictEqual(heard.filter(({ _tag }) => _tag === "Reconnected").length, 2)
        // First that something may have been missed, then what comes after it.
        const index = (payload: string) =>
          heard.findIndex((event) => event._tag === "Notification" && event.payload === payload)
        assert.strictEqual(heard.slice(0, index("c")).filter(({ _tag }) => _tag === "Reconnected").length, 2)
      }
      assert.includeMembers(plain, ["a", "b", "c"])
      assert.strictEqual(listening(yield* test.sessions).length, 1)
    }))

  it.scopedLive("R18: it waits for a server that is down, and R21 outlives an outage", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.refusing = true
      const test = yield* makePool({ url: proxy.url })
      const channel = uniqueName()
      const { heard } = yield* hear(test.pool, channel)
      yield* eventually(Effect.sync(() => proxy.accepted), (accepted) => accepted >= 3)
      proxy.refusing = false
      yield* untilHeard(test, channel, "a", heard)
      proxy.refusing = true
      proxy.reset()
      const before = proxy.accepted
      yield* eventually(Effect.sync(() => proxy.accepted), (accepted) => accepted >= before + 3)
      proxy.refusing = false
      yield* untilHeard(test, channel, "b", heard)
      assert.isTrue(heard.some(({ _tag }) => _tag === "Reconnected"))
    }))

  it.scopedLive("R18: who waits for its first connection fails after outageTimeout with the last connect error", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const { sql } = yield* makePool({
        url: proxy.url,
        connectTimeout: 100,
        acquireTimeout: 300,
        outageTimeout: 300
      })
      const error = yield* promptly(Effect.flip(Stream.runDrain(sql.listen("channel"))))
      assert.instanceOf(error, SqlError.SqlError)
      assert.include(error.message, "connectTimeout")
    }))

  it.scopedLive("R18: wrong credentials fail it at once, with the server's words", () =>
    Effect.gen(function*() {
      const url = new URL(Redacted.value(serverUrl))
      url.password = "wrong"
      const { sql } = yield* makePool({ url: Redacted.make(url.href) })
      for (let i = 0; i < 2; i++) {
        const error = yield* promptly(Effect.flip(Stream.runDrain(sql.listen("channel"))))
        assert.deepStrictEqual(PgError.sqlState(error), Option.some("28P01"))
      }
    }))

  it.scopedLive("R12: it can be interrupted at once while its connection opens", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.blackhole()
      const { sql } = yield* makePool({ url: proxy.url })
      const listener = yield* Effect.fork(Stream.runDrain(sql.listen("channel")))
      yield* eventually(Effect.sync(() => proxy.accepted), (accepted) => accepted === 1)
      assert.isTrue(Exit.isInterrupted(yield* promptly(Fiber.interrupt(listener))))
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 0)
    }))

  it.scopedLive("R24: a connection that has fallen silent is noticed, and replaced", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url, cleanupTimeout: 200 })
      const channel = uniqueName()
      const { heard } = yield* hear(test.pool, channel)
      yield* eventually(Effect.sync(() => proxy.open), (open) => open === 1)
      yield* pause(300)
      proxy.blackhole()
      yield* eventually(Effect.sync(() => proxy.accepted), (accepted) => accepted === 2)
      proxy.heal()
      proxy.cut()
      yield* untilHeard(test, channel, "a", heard)
    }))

  it.scopedLive("a channel that can't be listened to fails its listeners, and no others", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const channel = uniqueName()
      const { heard } = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "a", heard)
      const error = yield* promptly(Effect.flip(Stream.runDrain(test.sql.listen(""))))
      assert.deepStrictEqual(PgError.sqlState(error), Option.some("42601"))
      yield* untilHeard(test, channel, "b", heard)
      assert.isFalse(heard.some(({ _tag }) => _tag === "Reconnected"))
    }))

  it.scopedLive("R18: a server that refuses for a while what it has listened to before ends no listener", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const test = yield* makePool({ url: proxy.url })
      const channel = uniqueName()
      const { heard } = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "a", heard)
      let refusals = 0
      proxy.onAnswer = (chunk) => {
        if (!chunk.includes("LISTEN\0") || refusals === 2) return chunk
        refusals++
        const refusal = errorResponse("25006", "cannot execute LISTEN during recovery", "ERROR")
        return Buffer.concat([refusal, message("Z", Buffer.from("I"))])
      }
      proxy.reset()
      yield* untilHeard(test, channel, "b", heard)
      // The server itself does listen, and may tell of it before it is asked again.
      assert.isAtLeast(refusals, 1)
      assert.isTrue(heard.some(({ _tag }) => _tag === "Reconnected"))
    }))

  it.scopedLive("R18: a session that is lost whenever it should listen: the log says so, and the listener hears why", () =>
    Effect.gen(function*() {
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => void logs.push(String(message)))
      const proxy = yield* Proxy.start(serverUrl)
      proxy.onAnswer = (chunk, client) => {
        if (!chunk.includes("LISTEN\0")) return chunk
        client.end(errorResponse("57P05"))
        return undefined
      }
      const error = yield* Effect.gen(function*() {
        const { pool } = yield* makePool({ name: "test", url: proxy.url, acquireTimeout: 500, outageTimeout: 500 })
        return yield* promptly(Effect.flip(Stream.runDrain(pool.listen("channel"))))
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      assert.include(String(error.cause), "said the server")
      assert.deepStrictEqual(PgError.sqlState(error), Option.some("57P05"))
      assert.strictEqual(logs.length, 1)
      assert.match(logs[0], /^test: LISTEN fails, and is tried again: .*said the server/)
    }))

  it.scopedLive("listeners that come and go at any moment leave the others alone, and nothing behind", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const channels = Array.from({ length: 3 }, uniqueName)
      const { fiber, heard } = yield* hear(test.pool, channels[0])
      yield* Effect.forEach(
        Array.from({ length: 60 }, (_, n) => n),
        (n) =>
          Stream.runDrain(test.sql.listen(channels[n % 3])).pipe(
            Effect.timeoutOption(n % 13),
            Effect.zipRight(test.sql.notify(channels[n % 3], String(n)))
          ),
        { concurrency: 7 }
      )
      yield* untilHeard(test, channels[0], "end", heard)
      yield* promptly(Fiber.interrupt(fiber))
      yield* test.until((sessions) => listening(sessions).length === 0)
      const again = yield* hear(test.pool, channels[1])
      yield* untilHeard(test, channels[1], "again", again.heard)
    }))

  it.scopedLive("R13: when the pool closes, listeners and newcomers fail with PoolClosed", () =>
    Effect.gen(function*() {
      const test = yield* makePool()
      const channel = uniqueName()
      const { fiber, heard } = yield* hear(test.pool, channel)
      yield* untilHeard(test, channel, "a", heard)
      yield* promptly(test.close)
      for (const listener of [Fiber.join(fiber), Stream.runDrain(test.sql.listen(channel))]) {
        assert.strictEqual(causeTagOf(yield* promptly(Effect.flip(listener))), "PoolClosed")
      }
      yield* test.until((sessions) => sessions.length === 0)
    }))
})
