import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Option } from "effect"
import { PgError, PoolError } from "effect-pgpool"
import type { PoolStats } from "effect-pgpool/PoolStats"
import { connectError } from "../src/internal/postgres/errors/errors.js"
import * as Proxy from "../src/internal/testing/proxy.js"
import { eventually, makePool, makeTable, makeWarmPool, serverUrl } from "./support/pgPool.js"

const predicates = {
  isConstraintViolation: PgError.isConstraintViolation,
  isUniqueViolation: PgError.isUniqueViolation,
  isForeignKeyViolation: PgError.isForeignKeyViolation,
  isSerializationFailure: PgError.isSerializationFailure,
  isDeadlock: PgError.isDeadlock,
  isQueryCanceled: PgError.isQueryCanceled,
  isPoolExhausted: PgError.isPoolExhausted,
  isPoolClosed: PgError.isPoolClosed,
  isPoolQueueFull: PgError.isPoolQueueFull,
  isUnavailable: PgError.isUnavailable,
  isOutcomeUnknown: PgError.isOutcomeUnknown,
  isRetryable: PgError.isRetryable
}

/** The names of all that holds of an error. */
const what = (error: unknown) => Object.entries(predicates).filter(([, holds]) => holds(error)).map(([name]) => name)

const fromServer = (code: string, severity = "ERROR") =>
  new SqlError.SqlError({ cause: Object.assign(new Error("said the server"), { code, severity }) })

const fromSystem = (code: string) => new SqlError.SqlError({ cause: Object.assign(new Error(code), { code }) })

describe("R32: PgError", () => {
  it.scopedLive("reads what a real server says", () =>
    Effect.gen(function*() {
      const table = yield* makeTable()
      const { sql } = yield* makePool()
      const insert = sql`INSERT INTO ${sql(table.name)} (id) VALUES (1)`
      yield* insert
      const error = yield* Effect.flip(insert)
      assert.deepStrictEqual(PgError.sqlState(error), Option.some("23505"))
      assert.deepStrictEqual(PgError.constraint(error), Option.some(`${table.name}_pkey`))
      assert.deepStrictEqual(what(error), ["isConstraintViolation", "isUniqueViolation"])
      const other = yield* Effect.flip(sql`SELECT 1 / 0`)
      assert.deepStrictEqual(PgError.sqlState(other), Option.some("22012"))
      assert.deepStrictEqual(PgError.constraint(other), Option.none())
      assert.deepStrictEqual(what(other), [])
      const late = yield* Effect.flip(sql.unsafe("SET statement_timeout = 50; SELECT pg_sleep(60)"))
      assert.deepStrictEqual(what(late), ["isQueryCanceled"])
    }))

  const states: Record<string, Array<string>> = {
    "23503": ["isConstraintViolation", "isForeignKeyViolation"],
    "23514": ["isConstraintViolation"],
    "40001": ["isSerializationFailure", "isRetryable"],
    "40P01": ["isDeadlock", "isRetryable"],
    "40003": ["isOutcomeUnknown"],
    "55P03": ["isRetryable"],
    "53300": ["isRetryable"],
    "57014": ["isQueryCanceled"],
    "57P01": ["isRetryable"],
    "57P02": ["isOutcomeUnknown"],
    "57P03": ["isRetryable"],
    "57P05": ["isRetryable"],
    "25P03": ["isRetryable"],
    "42601": [],
    "28P01": [],
    "25P02": []
  }
  for (const [state, expected] of Object.entries(states)) {
    it(`${state}: ${expected.join(", ") || "nothing more"}`, () => {
      assert.deepStrictEqual(what(fromServer(state)), expected)
    })
  }

  it("a pooler's words tell what had not reached the server", () => {
    const said = (message: string) => Object.assign(new Error(message), { code: "08P01", severity: "FATAL" })
    const inFlight = (message: string) => what(new SqlError.SqlError({ cause: said(message) }))
    for (const words of ["server conn crashed?", "query timeout", "database removed", "bouncer config error"]) {
      assert.deepStrictEqual(inFlight(words), ["isOutcomeUnknown"], words)
    }
    const heldBack = ["query_wait_timeout", "server login has been failing, try again later (server_login_retry)"]
    for (const words of heldBack) assert.deepStrictEqual(inFlight(words), ["isRetryable"], words)
    const connecting = (message: string) => what(connectError(said(message)))
    const passing = [...heldBack, "no more connections allowed (max_client_conn)", "client_login_timeout (server down)"]
    for (const words of passing) assert.deepStrictEqual(connecting(words), ["isRetryable"], words)
    const final = ["SASL authentication failed", "no such database: app", "unsupported startup parameter: options"]
    for (const words of final) assert.deepStrictEqual(connecting(words), [], words)
  })

  it("08 is a lost connection where it is fatal, and a mistake of ours where not", () => {
    assert.deepStrictEqual(what(fromServer("08P01", "FATAL")), ["isOutcomeUnknown"])
    assert.deepStrictEqual(what(fromServer("08P01", "ERROR")), [])
  })

  it("a socket's error that is not that of a connect says nothing of what was sent", () => {
    for (const code of ["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EPIPE"]) {
      assert.deepStrictEqual(what(fromSystem(code)), [])
    }
  })

  it.scopedLive("nor does that of the pg client below a connection", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      const { pool } = yield* makePool({ url: proxy.url })
      const error = yield* pool.use(({ pg }) => {
        proxy.onRequest = (chunk) => chunk.includes("pg_sleep") ? proxy.reset() : undefined
        return Effect.tryPromise(() => pg.query("SELECT pg_sleep(0)"))
      }).pipe(Effect.flip)
      assert.isFalse(PgError.isRetryable(error))
    }))

  it("an unknown outcome is never retryable, whatever it was caused by", () => {
    for (const cause of [fromSystem("ECONNRESET"), fromServer("57P01"), new Error("gone")]) {
      for (const Unknown of [PgError.OutcomeUnknown, PgError.CommitOutcomeUnknown]) {
        assert.deepStrictEqual(what(new SqlError.SqlError({ cause: new Unknown({ cause }) })), ["isOutcomeUnknown"])
      }
    }
  })

  it("what was not sent may be tried again", () => {
    for (const cause of [undefined, fromSystem("ECONNRESET"), fromServer("08P01", "FATAL")]) {
      const error = new SqlError.SqlError({ cause: new PgError.NotSent({ cause }) })
      assert.deepStrictEqual(what(error), ["isRetryable"])
    }
  })

  it.scopedLive("a pool that is exhausted", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeWarmPool({ maxsize: 1, maxoverflow: 1, acquireTimeout: 10 })
      yield* sql.reserve
      assert.deepStrictEqual(what(yield* Effect.flip(sql`SELECT 1`)), [
        "isPoolExhausted",
        "isUnavailable",
        "isRetryable"
      ])
    }))

  it.scopedLive("a pool whose queue is full, or that is drained", () =>
    Effect.gen(function*() {
      const { pool, sql } = yield* makeWarmPool({ maxsize: 1, maxoverflow: 1, maxWaiting: 1 })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* sql.reserve
        yield* Effect.forkScoped(sql`SELECT 1`)
        yield* eventually(pool.stats, ({ waiting }) => waiting === 1)
        const error = yield* Effect.flip(sql`SELECT 1`)
        assert.deepStrictEqual(what(error), ["isPoolQueueFull", "isUnavailable", "isRetryable"])
      }))
      yield* pool.drain
      assert.deepStrictEqual(what(yield* Effect.flip(sql`SELECT 1`)), ["isPoolClosed", "isUnavailable"])
    }))

  it.scopedLive("a server that is down", () =>
    Effect.gen(function*() {
      const proxy = yield* Proxy.start(serverUrl)
      proxy.refusing = true
      const { sql } = yield* makePool({ url: proxy.url, acquireTimeout: 1000, outageTimeout: 1000 })
      assert.deepStrictEqual(what(yield* Effect.flip(sql`SELECT 1`)), [
        "isPoolExhausted",
        "isUnavailable",
        "isRetryable"
      ])
    }))

  it("what was said to a connect says nothing of a statement", () => {
    const connectFailure = connectError(fromServer("57P02").cause)
    assert.deepStrictEqual(what(connectFailure), ["isRetryable"])
    const stats = { busy: 0 } as PoolStats
    const limit = { limit: "acquireTimeout", limitMillis: 1, wasOwed: true } as const
    const exhausted = new PoolError.PoolExhausted({
      ...limit,
      stats,
      waited: 1,
      holders: [],
      cause: fromServer("57P02")
    })
    assert.deepStrictEqual(what(exhausted), ["isPoolExhausted", "isUnavailable", "isRetryable"])
    assert.isTrue(PgError.isOutcomeUnknown(new PgError.CommitOutcomeUnknown({ cause: connectFailure })))
  })

  it("a connect that failed may go well another time, unless it is known that it won't", () => {
    const connecting = (code: string, severity?: string) =>
      what(connectError(Object.assign(new Error(code), { code, ...(severity === undefined ? {} : { severity }) })))
    const passing = [
      ...["ENOTFOUND", "EMFILE", "EADDRNOTAVAIL", "EWHATEVER", "ERR_TLS_HANDSHAKE_TIMEOUT", "ERR_SOCKET_CLOSED"],
      ...["ERR_SSL_UNEXPECTED_EOF_WHILE_READING", "ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC", "ERR_SSL_WHATEVER"]
    ]
    for (const code of passing) assert.deepStrictEqual(connecting(code), ["isRetryable"], code)
    const final = [
      ...["CERT_HAS_EXPIRED", "DEPTH_ZERO_SELF_SIGNED_CERT", "ERR_TLS_CERT_ALTNAME_INVALID"],
      ...["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"],
      ...["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "ERR_SSL_NO_SHARED_CIPHER", "ERR_SSL_EE_KEY_TOO_SMALL"]
    ]
    for (const code of final) assert.deepStrictEqual(connecting(code), [], code)
    for (const code of ["XX000", "55000", "42501", "57P04"]) {
      assert.include(connecting(code, "FATAL"), "isRetryable", code)
    }
    for (const code of ["28000", "3D000", "0A000", "42704"]) assert.deepStrictEqual(connecting(code, "FATAL"), [], code)
  })

  it("looks through errors of the program's own, and survives what is no error, or its own cause", () => {
    class Mine extends Data.TaggedError("Mine")<{ readonly cause: unknown }> {}
    assert.deepStrictEqual(what(new Mine({ cause: new Error("mine", { cause: fromServer("40001") }) })), [
      "isSerializationFailure",
      "isRetryable"
    ])
    const circular: { cause?: unknown } = {}
    circular.cause = circular
    for (const error of [undefined, null, 1, "23505", new Error("23505"), {}, circular]) {
      assert.deepStrictEqual(what(error), [])
      assert.deepStrictEqual(PgError.sqlState(error), Option.none())
    }
  })
})
