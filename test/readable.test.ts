/** What is printed of an error, and what a program can read of it all the same. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import { ElasticPool, PgError, PoolError } from "effect-pgpool"
import { inspect } from "node:util"
import * as Pg from "pg"
import { connectError, noHost, noPassword, withHint } from "../src/internal/postgres/errors/errors.js"
import { makePool, makeTable, serverUrl } from "./support/pgPool.js"
import { freePort } from "./support/program.js"

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Cause.Cause<E>, never, R> =>
  Effect.map(Effect.exit(effect), (exit) => Exit.isFailure(exit) ? exit.cause : assert.fail("it succeeded"))

/** What `runMain` and `Effect.log` print, without where the test itself is. */
const printed = (cause: Cause.Cause<unknown>): ReadonlyArray<string> =>
  Cause.pretty(cause, { renderErrorCause: true }).split("\n").map((line) =>
    line.replace(/ \(.*readable\.test\.ts[^)]*\)/, "")
  )

/** With what the server said besides. */
const withCause = (lines: ReadonlyArray<string>, cause: string): ReadonlyArray<string> => [
  ...lines.slice(0, -1),
  `${lines.at(-1)} {`,
  `  [cause]: ${cause}`,
  "}"
]

const wrongPassword = (() => {
  const url = new URL(Redacted.value(serverUrl))
  url.password = "wrong"
  return Redacted.make(url.href)
})()

describe("R32: an error", () => {
  it.scopedLive("has the reason in its headline, and its cause for who asks for that", () =>
    Effect.gen(function*() {
      const { name } = yield* makeTable()
      const { sql } = yield* makePool()
      const insert = sql`INSERT INTO ${sql(name)} (id) VALUES (1)`
      yield* insert
      const cause = yield* failureOf(insert)
      const headline =
        `SqlError: Failed to execute statement: duplicate key value violates unique constraint "${name}_pkey"`
      const error = Cause.squash(cause) as Error & { readonly _tag: string; readonly cause: Pg.DatabaseError }
      assert.strictEqual(String(error), headline)
      assert.strictEqual(error.stack, headline)
      assert.deepStrictEqual(printed(cause), withCause([headline], `error: ${error.cause.message}`))
      for (const told of [headline, "code: '23505'", "Key (id)=(1) already exists"]) {
        assert.include(inspect(error), told)
      }
      assert.isTrue("cause" in error)
      assert.strictEqual(error._tag, "SqlError")
      assert.instanceOf(error.cause, Pg.DatabaseError)
      assert.strictEqual(error.cause.constraint, `${name}_pkey`)
      assert.strictEqual(error.cause.stack, `error: ${error.cause.message}`)
      const { _tag, cause: { code }, message } = JSON.parse(JSON.stringify(error))
      assert.deepStrictEqual([_tag, code, `${_tag}: ${message}`], ["SqlError", "23505", headline])
    }))

  it.scopedLive("of no connection is printed without its cause, whose words it has, also where an assertion fails", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ url: wrongPassword })
      const error = yield* Effect.flip(sql`SELECT 1`)
      const headline = "SqlError: Failed to connect: password authentication failed for user \"postgres\""
      assert.strictEqual(inspect(error), headline)
      assert.instanceOf(error.cause, Pg.DatabaseError)
      for (const failing of [() => assert.isUndefined(error), () => assert.deepEqual(error, {} as any)]) {
        assert.throws(failing, /^expected SqlError: Failed to connect/)
      }
    }))

  it.scopedLive("is told in the span of who is told", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makePool({ maxsize: 1, maxoverflow: 1, acquireTimeout: 500 })
      const inSpan = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(failureOf(Effect.withSpan(effect, "mine")), printed)
      const headline = "SqlError: Failed to execute statement: division by zero"
      const failing = sql`SELECT 1 / 0`
      const told = (...spans: ReadonlyArray<string>) => withCause([headline, ...spans], "error: division by zero")
      assert.deepStrictEqual(yield* inSpan(failing), told("    at mine"))
      assert.deepStrictEqual(yield* inSpan(sql.withTransaction(failing)), told("    at sql.transaction", "    at mine"))
      assert.deepStrictEqual(yield* inSpan(Stream.runDrain(failing.stream)), told("    at mine"))
      const lost = yield* inSpan(sql.withTransaction(sql`SELECT pg_terminate_backend(pg_backend_pid())`))
      assert.deepStrictEqual(
        lost.slice(1),
        withCause(
          ["    at sql.transaction", "    at mine"],
          "error: terminating connection due to administrator command"
        )
      )
      yield* pool.get
      const waits: ReadonlyArray<Effect.Effect<unknown, unknown, Scope.Scope>> = [
        sql`SELECT 1`,
        sql.withTransaction(sql`SELECT 1`),
        pool.get
      ]
      for (const wait of waits) {
        const [first, ...frames] = yield* inSpan(Effect.scoped(wait))
        assert.match(first, /No connection after/)
        assert.include(frames, "    at mine")
      }
    }))

  it.scopedLive("of one connect is told to each caller in its own span", () =>
    Effect.gen(function*() {
      const { sql } = yield* makePool({ url: wrongPassword })
      const told = yield* Effect.forEach(
        ["first", "second", "third"],
        (name) => Effect.map(failureOf(Effect.withSpan(sql`SELECT 1`, name)), printed),
        { concurrency: "unbounded" }
      )
      const headline = "SqlError: Failed to connect: password authentication failed for user \"postgres\""
      assert.deepStrictEqual(told, ["first", "second", "third"].map((name) => [headline, `    at ${name}`]))
    }))

  it.scopedLive("names a server that is away once, and keeps the tags of all that led to it", () =>
    Effect.gen(function*() {
      const options = {
        url: undefined,
        host: "127.0.0.1",
        port: yield* freePort,
        acquireTimeout: 300,
        outageTimeout: 300
      }
      const { sql } = yield* makePool(options as object)
      const cause = yield* failureOf(sql`SELECT 1`)
      assert.lengthOf(printed(cause), 1)
      assert.lengthOf(printed(cause)[0].match(/ECONNREFUSED/g) ?? [], 1)
      const error: any = Cause.squash(cause)
      assert.instanceOf(error.cause, PoolError.PoolExhausted)
      assert.strictEqual(error.cause.cause._tag, "SqlError")
      assert.strictEqual(error.cause.cause.cause.code, "ECONNREFUSED")
    }))

  it.scopedLive("has the frames of what the user has written, and the words of all its causes", () =>
    Effect.gen(function*() {
      const patience = { acquireTimeout: 300, outageTimeout: 300 }
      const { sql } = yield* makePool({
        ...patience,
        name: "test",
        onConnect: () =>
          Effect.suspend(() => {
            throw new Error("a bug")
          })
      })
      const [headline, ...frames] = printed(yield* failureOf(sql`SELECT 1`))
      assert.match(headline, /Failed to connect: onConnect: a bug \(test: 0 busy,/)
      assert.isAtLeast(frames.length, 1)
      for (const frame of frames) assert.notMatch(frame, /node_modules|\/src\/|node:/)

      const noVault = () =>
        new Error("no secret", { cause: new Error("fetch failed", { cause: new Error("ECONNRESET") }) })
      const password = Effect.failSync(noVault)
      const error = yield* Effect.flip((yield* makePool({ password })).sql`SELECT 1`)
      assert.strictEqual(
        error.message,
        "Failed to connect: the password could not be had: no secret: fetch failed: ECONNRESET"
      )
      assert.match(error.stack ?? "", /\n {4}at .*readable\.test\.ts/)
    }))

  it.scopedLive("of a pool of something else shows that one's own error", () =>
    Effect.gen(function*() {
      class Down extends Data.TaggedError("Down")<{ readonly message: string }> {}
      const pool = yield* ElasticPool.make({
        acquire: Effect.failSync(() => new Down({ message: "it is down" })),
        isTransient: () => true,
        acquireTimeout: 200,
        outageTimeout: 200
      })
      const cause = yield* failureOf(Effect.withSpan(pool.use(Effect.succeed), "mine"))
      const [headline, ...frames] = printed(cause)
      assert.match(headline, /^PoolExhausted: .*it is down \(0 busy,/)
      assert.strictEqual(frames[0], "    at mine {")
      assert.strictEqual(frames[1], "  [cause]: Down: it is down")
      assert.instanceOf((Cause.squash(cause) as PoolError.PoolExhausted).cause, Down)
    }))

  it("tells the same of several places once", () => {
    const refusedBy = (address: string) =>
      connectError(Object.assign(new Error(`connect ECONNREFUSED ${address}:5432`), {
        code: "ECONNREFUSED",
        syscall: "connect"
      }))
    const error = noHost([
      { place: "localhost:5432 (::1)", error: refusedBy("::1") },
      { place: "localhost:5432 (127.0.0.1)", error: refusedBy("127.0.0.1") },
      { place: "other:5432", error: connectError(new Error("gone")) }
    ])
    assert.strictEqual(
      error.message,
      "Failed to connect: no host could be used: " +
        "localhost:5432 (::1), localhost:5432 (127.0.0.1): connect ECONNREFUSED; other:5432: gone"
    )
    assert.instanceOf(error.cause, PgError.NoHost)
    // Which Node gives where a program makes its own sockets.
    const both = new AggregateError([new Error("refused"), new Error("refused"), new Error("unreachable")])
    assert.strictEqual(connectError(both).message, "Failed to connect: refused; unreachable")
  })

  it("of a connect has a hint, where the server was looked for and not found", () => {
    const refused = withHint(connectError(new Error("refused")), "nobody has said where the server is")
    assert.strictEqual(refused.message, "Failed to connect: refused (nobody has said where the server is)")
    assert.strictEqual((refused.cause as Error).message, "refused")
    const undialled = noPassword(new Error("no vault"))
    assert.strictEqual(withHint(undialled, "nobody has said where the server is"), undialled)
  })
})
