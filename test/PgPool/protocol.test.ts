import { Reactivity } from "@effect/experimental"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Stream } from "effect"
import { PgError, PgPool } from "effect-pgpool"
import * as Wire from "../../src/internal/testing/messages.js"
import * as Proxy from "../../src/internal/testing/proxy.js"
import type { FakeServer } from "../support/fakeServer.js"
import * as Fake from "../support/fakeServer.js"
import * as Fuzz from "../support/fuzz.js"
import { asks, wire } from "../support/fuzz/wire.js"
import { eventually, makePool, serverUrl } from "../support/pgPool.js"
import { Chance } from "../support/storm/chance.js"

/** Each changes the row in an answer. */
const violations: Record<string, (answer: Buffer, row: number) => void> = {
  "a message of an unknown kind": (answer, row) => {
    answer[row] = 0xff
  },
  "a row that ends too early": (answer, row) => {
    answer.writeInt16BE(99, row + 5)
  }
}

const positionOfRow = (answer: Buffer): number => {
  let at = 0
  while (at + 5 < answer.length && answer[at] !== "D".charCodeAt(0)) at += 1 + answer.readInt32BE(at + 1)
  return at + 5 < answer.length ? at : -1
}

describe("R17: a server that does not speak the protocol", () => {
  for (const multiplex of [false, true]) {
    for (const [name, violate] of Object.entries(violations)) {
      it.scopedLive(`R17, R22: ${name}: the outcome is unknown, and the connection is given up${multiplex ? " (multiplex)" : ""}`, () =>
        Effect.gen(function*() {
          const proxy = yield* Proxy.start(serverUrl)
          const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, multiplex })
          yield* sql`SELECT 1`
          proxy.onAnswer = (answer) => {
            const changed = Buffer.from(answer)
            const row = positionOfRow(changed)
            if (row >= 0) violate(changed, row)
            return changed
          }
          const error = yield* Effect.flip(sql`SELECT 1 AS one`)
          assert.isTrue(PgError.isOutcomeUnknown(error))
          yield* eventually(pool.stats, ({ closed }) => closed.invalidated === 1)
          proxy.onAnswer = (answer) => answer
          assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
        }))
    }
  }
})

/** A pool of one connection on a server of ours. */
const poolOn = (server: Pick<FakeServer, "port">, options?: PgPool.PgPoolOptions) =>
  PgPool.make({
    host: "127.0.0.1",
    port: server.port,
    username: "u",
    maxsize: 1,
    maxoverflow: 1,
    queryTimeout: "10 seconds",
    outageTimeout: 300,
    acquireTimeout: 300,
    closeTimeout: 100,
    ...options
  }).pipe(Effect.provide(Reactivity.layer))

const select = (pool: PgPool.PgPool, token: string) => pool.client.unsafe(`SELECT '${token}' rows=2`)

/** What the next answer to what has `text` in it becomes. */
const change = (server: FakeServer, text: string, by: (messages: Array<Buffer>) => ReadonlyArray<Buffer>): void => {
  server.onSend = (messages, { request }) => {
    if (!request.includes(text)) return messages
    server.onSend = (messages) => messages
    return by(messages)
  }
}

const words = (error: unknown): string => Cause.pretty(Cause.fail(error))

const isTyped = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.isFailType(exit.cause) && exit.cause.error instanceof SqlError

describe("R17: whatever a server sends", () => {
  it.live(
    "R17: thousands of wrong messages, at any moment: nobody hangs or hears anything but an SqlError",
    () =>
      Effect.gen(function*() {
        const { faults, memory, moments } = yield* Fuzz.run(seed, 250)
        assert.deepStrictEqual(faults, [], `seed ${seed}`)
        assert.isAbove(Object.keys(moments).length, 15)
        assert.isBelow(memory, 1000)
      }),
    300_000
  )

  it("R17: what is the protocol comes through as pg reads it by itself, wherever it is cut", () => {
    const chance = new Chance(seed)
    const long = Wire.dataRow(["x".repeat(200_000), null, ""])
    for (let i = 0; i < 200; i++) {
      const { answer, query } = chance.pick(asks)
      const rows = chance.many(0, 3, () => chance.is(0.1) ? long : Wire.dataRow(["1", "é"]))
      const answers = answer[0][0] === "T".charCodeAt(0) ? [answer[0], ...rows, ...answer.slice(1)] : answer
      const all = Buffer.concat(answers)
      const at = chance.many(0, 12, () => chance.integer(0, all.length)).sort((a, b) => a - b)
      const wired = wire()
      wired.receive([Buffer.concat(Wire.greeting)])
      wired.messages.splice(0)
      wired.client.query(query() as never)
      wired.receive([0, ...at].map((from, i) => all.subarray(from, at[i] ?? all.length)))
      assert.deepStrictEqual(wired.violations, [])
      assert.deepStrictEqual(wired.messages, answers.map((message) => names[String.fromCharCode(message[0])]))
    }
  })

  const greetings: Record<string, ReadonlyArray<Buffer>> = {
    "another protocol": [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
    "a message of 2 GB": [Buffer.from([..."N"].map((letter) => letter.charCodeAt(0))), Wire.int32(0x7fffffff)],
    "a negative length": [Buffer.from("E"), Wire.int32(-1)],
    "a long message of a short kind": [Wire.parameter("a", "x".repeat(30_000))],
    "a row": [Wire.authenticationOk, Wire.dataRow(["1"])],
    "ready before the login": [Wire.ready()],
    "key data that is cut short": [Wire.authenticationOk, Wire.message("K", Wire.int32(1)), Wire.ready()],
    "a later version of the protocol": [Wire.message("v", Wire.int32(196610), Wire.int32(0))],
    "two questions at once": [Wire.authentication(3), Wire.authentication(3)]
  }
  for (const [name, greeting] of Object.entries(greetings)) {
    it.scopedLive(`R17: ${name} at the login: the caller hears that it is not the protocol`, () =>
      Effect.gen(function*() {
        const server = yield* Fake.start()
        server.greeting = greeting
        const pool = yield* poolOn(server)
        assert.include(words(yield* Effect.flip(select(pool, "tok1"))), "not the PostgreSQL protocol")
        server.greeting = Wire.greeting
        yield* eventually(Effect.exit(select(pool, "tok2")), Exit.isSuccess)
      }))
  }

  it.scopedLive("R17: a message of 2 GB after the login is not waited for", () =>
    Effect.gen(function*() {
      const server = yield* Fake.start()
      const pool = yield* poolOn(server)
      change(server, "tok1", () => [Buffer.from("D"), Wire.int32(0x7fffffff)])
      const error = yield* Effect.flip(select(pool, "tok1"))
      assert.isTrue(PgError.isOutcomeUnknown(error))
      assert.include(words(error), "a DataRow with a length of 2147483647 bytes")
    }))

  const strays: Record<string, Buffer> = {
    "a row": Wire.dataRow(["tok1"]),
    "a whole answer": Buffer.concat([
      Wire.rowDescription(["token"]),
      Wire.dataRow(["tok1"]),
      Wire.complete("SELECT 1")
    ]),
    "a second ReadyForQuery": Wire.ready(),
    "the end of a statement": Wire.complete("SELECT 1"),
    "an empty answer": Wire.message("I"),
    "a beginning": Wire.dataRow(["tok1"]).subarray(0, 7),
    "the login again": Wire.authentication(3),
    "another key": Wire.keyData(7, 7)
  }
  for (const [name, stray] of Object.entries(strays)) {
    it.scopedLive(`R15, R17: ${name} behind an answer never becomes part of the next caller's`, () =>
      Effect.gen(function*() {
        const server = yield* Fake.start()
        let secrets = 0
        const pool = yield* poolOn(server, { acquireTimeout: "10 seconds" })
        yield* select(pool, "tok0")
        server.onSend = (messages, { request }) => {
          secrets += request.startsWith("p") ? 1 : 0
          return request.includes("tok1") ? [...messages, stray] : messages
        }
        const first = yield* Effect.fork(Effect.exit(select(pool, "tok1")))
        const next = yield* Effect.fork(select(pool, "tok2"))
        assert.isTrue(isTyped(yield* Fiber.join(first)))
        assert.deepStrictEqual(yield* Fiber.join(next), [{ token: "tok2" }, { token: "tok2" }])
        assert.strictEqual(secrets, 0)
        yield* eventually(pool.stats, ({ closed }) => closed.invalidated === 1)
      }))
  }

  it.scopedLive("R22: ready without an answer: it is not known what became of the statement", () =>
    Effect.gen(function*() {
      const server = yield* Fake.start()
      const pool = yield* poolOn(server, { acquireTimeout: "10 seconds" })
      const bound = pool.client.unsafe("SELECT $1 rows=2", ["tok1"])
      const streamed = Stream.runDrain(bound.stream)
      const runs: ReadonlyArray<Effect.Effect<unknown, SqlError>> = [select(pool, "tok1"), bound, streamed]
      for (const run of runs) {
        change(server, "tok1", () => [Wire.ready()])
        assert.isTrue(PgError.isOutcomeUnknown(yield* Effect.flip(run)))
      }
      // But for the whole transaction: that was not committed.
      change(server, "tok1", () => [Wire.ready()])
      const whole = yield* Effect.flip(pool.client.withTransaction(streamed))
      assert.isTrue(whole instanceof SqlError && whole.cause instanceof PgError.NotCommitted)
      change(server, "COMMIT", () => [Wire.ready()])
      const commit = yield* Effect.flip(pool.client.withTransaction(select(pool, "tok2")))
      assert.isTrue(commit instanceof SqlError && commit.cause instanceof PgError.CommitOutcomeUnknown)
    }))

  it.scopedLive("R17: an own question that is answered with no row, or with several results, is a typed failure", () =>
    Effect.gen(function*() {
      const server = yield* Fake.start()
      const answers = [[Wire.complete("SELECT 0"), Wire.ready()], [
        Wire.complete("SELECT 0"),
        Wire.complete("SELECT 0"),
        Wire.ready()
      ]]
      for (const answer of answers) {
        server.onSend = (messages, { request }) => request.includes("SELECT pg_") ? answer : messages
        const pool = yield* poolOn(server)
        const listener = yield* Effect.flip(
          Effect.timeout(Stream.runDrain(pool.client.listen("channel")), "10 seconds")
        )
        assert.instanceOf(listener, SqlError)
        assert.include(String((listener as SqlError).cause), "SELECT pg_backend_pid()")
        const wanted = yield* poolOn(server, { targetSessionAttrs: "primary" })
        server.greeting = Wire.greeting.filter((message) => message[0] !== "S".charCodeAt(0))
        server.onSend = (messages, { request }) => request.includes("pg_is_in_recovery") ? answer : messages
        const caller = yield* Effect.exit(select(wanted, "tok1"))
        assert.isTrue(isTyped(caller))
        server.greeting = Wire.greeting
      }
    }))

  it.scopedLive("R17: columns may have any name, and be as many as PostgreSQL can have", () =>
    Effect.gen(function*() {
      const server = yield* Fake.start()
      const pool = yield* poolOn(server)
      const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "__proto__", ""]
      change(server, "tok1", () => [
        Wire.rowDescription(names),
        Wire.dataRow(names.map((_, i) => `${i}`)),
        Wire.complete("SELECT 1"),
        Wire.ready()
      ])
      const [row] = yield* select(pool, "tok1")
      assert.deepStrictEqual(Object.entries(row as object), [
        ["__proto__", "4"],
        ["constructor", "1"],
        ["toString", "2"],
        ["hasOwnProperty", "3"],
        ["", "5"]
      ])
      const many = Array.from({ length: 1600 }, (_, i) => `a long name of a column ${i}`)
      change(server, "tok2", () => [
        Wire.rowDescription(many),
        Wire.dataRow(many),
        Wire.complete("SELECT 1"),
        Wire.ready()
      ])
      assert.deepStrictEqual(yield* select(pool, "tok2"), [Object.fromEntries(many.map((name) => [name, name]))])
    }))
})

const seed = 14

/** What `pg` calls them. */
const names: Readonly<Record<string, string>> = {
  "1": "parseComplete",
  "2": "bindComplete",
  "3": "closeComplete",
  C: "commandComplete",
  D: "dataRow",
  E: "error",
  G: "copyInResponse",
  I: "emptyQuery",
  T: "rowDescription",
  Z: "readyForQuery",
  s: "portalSuspended"
}
