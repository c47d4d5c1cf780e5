/** One server that misbehaves once, and a pool that must live with that. */
import { Reactivity } from "@effect/experimental"
import type { PgClient } from "@effect/sql-pg"
import { SqlError } from "@effect/sql/SqlError"
import type { Scope } from "effect"
import { Cause, Data, Effect, Exit, Fiber, Option, Redacted, Stream } from "effect"
import { PgPool } from "effect-pgpool"
import * as Wire from "../../../src/internal/testing/messages.js"
import type { Certificate } from "../certificates.js"
import type { FakeServer, FakeSession } from "../fakeServer.js"
import * as Fake from "../fakeServer.js"
import { pause } from "../server.js"
import type { Chance } from "../storm/chance.js"
import { cut, mutate } from "./mutations.js"

/** What must not have been. */
export class Fault extends Data.TaggedError("Fault")<{ readonly message: string }> {}

type Rows = ReadonlyArray<{ readonly token?: unknown }>
type Call = Effect.Effect<unknown, unknown, Scope.Scope>

interface Moment {
  readonly name: string
  readonly options?: PgPool.PgPoolOptions
  readonly call: (sql: PgClient.PgClient, token: string) => Call
  /** What is changed. By default an answer to what has the victim's token in it. */
  readonly isVictim?: (occasion: Fake.Occasion) => boolean
  readonly before?: (server: FakeServer, chance: Chance) => void
  /** Others' statements go by the same connection: no server can be told from one that answers the wrong one. */
  readonly isShared?: boolean
}

const select = (sql: PgClient.PgClient, token: string) => sql.unsafe<{ token: string }>(`SELECT '${token}' rows=3`)
const bound = (sql: PgClient.PgClient, token: string) => sql<{ token: string }>`SELECT ${token} rows=3`
const stream = (sql: PgClient.PgClient, token: string) => Stream.runCollect(sql`SELECT ${token} rows=200`.stream)

const moments: ReadonlyArray<Moment> = [
  { name: "login", call: select, isVictim: ({ at }) => at === "login" },
  {
    name: "password",
    call: select,
    isVictim: ({ at }) => at === "login",
    before: (server, chance) => {
      server.greeting = [
        chance.pick([
          Wire.authentication(3),
          Wire.authentication(5, Wire.int32(42)),
          Wire.authentication(10, Wire.text("SCRAM-SHA-256"), Wire.text(""))
        ])
      ]
    }
  },
  { name: "simple", call: select },
  { name: "parameters", call: bound },
  { name: "prepared", options: { prepare: 2 }, call: bound },
  { name: "cursor", call: stream },
  {
    name: "cursor, left early",
    call: (sql, token) => Stream.runCollect(Stream.take(sql`SELECT ${token} rows=200`.stream, 2))
  },
  { name: "portal", call: (sql, token) => sql.withTransaction(stream(sql, token)) },
  { name: "transaction", call: (sql, token) => sql.withTransaction(bound(sql, token)) },
  {
    name: "commit",
    call: (sql, token) => sql.withTransaction(bound(sql, token)),
    isVictim: ({ request }) => request.startsWith("QCOMMIT")
  },
  {
    name: "reserved",
    call: (sql, token) =>
      Effect.flatMap(sql.reserve, (connection) => connection.executeValues("SELECT $1 rows=3", [token]))
  },
  {
    name: "reset",
    options: { reset: "session" },
    call: select,
    isVictim: ({ request }) => request.startsWith("QDISCARD")
  },
  {
    name: "ping",
    options: { validateAfterIdle: 0 },
    call: (sql, token) => Effect.zipRight(select(sql, token), select(sql, token)),
    isVictim: ({ request }) => request.startsWith("QSELECT 1")
  },
  { name: "copy", call: (sql, token) => sql.unsafe(`COPY ${token} FROM STDIN`) },
  { name: "copy in a stream", call: (sql, token) => Stream.runCollect(sql.unsafe(`COPY ${token} FROM STDIN`).stream) },
  {
    name: "shared",
    options: { multiplex: true, maxsize: 1, maxoverflow: 1 },
    call: (sql, token) => Effect.all([1, 2, 3].map(() => bound(sql, token)), { concurrency: "unbounded" }),
    isShared: true
  },
  { name: "interrupted", call: (sql, token) => Effect.timeoutOption(bound(sql, token), 3) },
  {
    name: "cancel",
    call: (sql, token) => Effect.timeoutOption(sql.unsafe(`SELECT '${token}' hang`), 30),
    isVictim: ({ at }) => at === "cancel"
  },
  {
    name: "listen",
    call: (sql) => Effect.timeoutOption(Stream.runDrain(Stream.take(sql.listen("tok7"), 3)), 60),
    isVictim: ({ at, request }) => at === "answer" && /LISTEN|pg_backend_pid/.test(request)
  },
  {
    name: "listener's login",
    call: (sql) => Effect.timeoutOption(Stream.runDrain(Stream.take(sql.listen("tok7"), 3)), 60),
    isVictim: ({ at }) => at === "login"
  }
]

/** Between two statements: what nobody has asked for. */
const idle = "idle"

export const names: ReadonlyArray<string> = [...moments.map(({ name }) => name), idle]

/** Milliseconds. Those of a session that is given up are short, so that many cases are played in little time. */
const patience = {
  queryTimeout: 250,
  connectTimeout: 500,
  cleanupTimeout: 150,
  outageTimeout: 1000,
  acquireTimeout: 2000,
  closeTimeout: 100
}

/** Generous: only what would never end takes longer. */
const deadline = "40 seconds"

/** A text without its end: who reads on for that reads for ever. */
const endless: ReadonlyArray<Buffer> = ["E", "N"].map((kind) => Wire.message(kind, Buffer.from("SERROR\0")))

/** The first cases try these at each moment. */
export const play = (chance: Chance, certificate: Certificate, index: number): Effect.Effect<string, Fault> =>
  Effect.scoped(Effect.gen(function*() {
    const known = endless[Math.floor(index / names.length)]
    const name = known === undefined ? chance.pick(names) : names[index % names.length]
    const change = (messages: Array<Buffer>) => known === undefined ? mutate(messages, chance) : [known]
    const moment: Moment = moments.find((moment) => moment.name === name) ??
      { name, call: select, isVictim: () => false }
    const isEncrypted = chance.is(0.1)
    const server = yield* Fake.start(isEncrypted ? certificate : undefined)
    moment.before?.(server, chance)
    const victim = "tok1"
    let victims = chance.pick([0, 0, 0, 1, 2])
    let altered: FakeSession | undefined
    server.onSend = (messages, occasion) => {
      if (occasion.request.includes("hang")) return []
      const isVictim = altered === undefined &&
        (moment.isVictim?.(occasion) ?? (occasion.at === "answer" && occasion.request.includes(victim)))
      if (!isVictim || victims-- > 0) return messages
      altered = occasion.session
      write(occasion.session, change(messages), chance)
      return []
    }
    const pool = yield* PgPool.make({
      host: "127.0.0.1",
      port: server.port,
      username: "u",
      password: Redacted.make("p"),
      ssl: isEncrypted ? { rejectUnauthorized: false } : false,
      maxsize: 2,
      maxoverflow: 2,
      ...patience,
      ...moment.options
    }).pipe(Effect.provide(Reactivity.layer), Effect.orDie)
    const sql = pool.client
    if (name === idle) {
      yield* Effect.exit(select(sql, "tok3"))
      for (const session of server.sessions) write(session, change([]), chance)
      yield* pause(chance.pick([0, 2]))
    }
    const call = yield* Effect.fork(ended(`the call (${name})`, Effect.scoped(moment.call(sql, victim))))
    const innocent = yield* Effect.fork(ended("an innocent", select(sql, "tok2")))
    yield* typed(name, yield* Fiber.join(call))
    const rows = yield* typed("an innocent", yield* Fiber.join(innocent))
    if (rows !== undefined && moment.isShared !== true) yield* own(rows as Rows, "tok2", "An innocent")
    server.onSend = (messages) => messages
    server.greeting = Wire.greeting
    yield* serves(sql)
    return name
  })).pipe(
    Effect.timeoutFail({ duration: deadline, onTimeout: () => new Fault({ message: "The case did not end" }) })
  )

const write = (session: FakeSession, messages: ReadonlyArray<Buffer>, chance: Chance): void => {
  const isSlow = chance.is(0.3)
  const pieces = cut(messages, chance)
  const ends = chance.is(0.1)
  const next = () => {
    const piece = pieces.shift()
    if (piece === undefined) return ends ? session.end() : undefined
    session.write(piece)
    if (isSlow) setImmediate(next)
    else next()
  }
  next()
}

const ended = (who: string, call: Call): Effect.Effect<Exit.Exit<unknown, unknown>, Fault> =>
  Effect.exit(Effect.scoped(call)).pipe(
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => new Fault({ message: `${who} did not end` }) })
  )

/** What it has given, if it has not failed as it may fail. */
const typed = (who: string, exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown, Fault> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
  const failure = Cause.failureOption(exit.cause)
  return Option.isSome(failure) && failure.value instanceof SqlError && Cause.isFailure(exit.cause) &&
      Option.isNone(Cause.dieOption(exit.cause))
    ? Effect.succeed(undefined)
    : Effect.fail(new Fault({ message: `${who}: not an SqlError: ${Cause.pretty(exit.cause)}` }))
}

const own = (rows: Rows, token: string, who: string): Effect.Effect<void, Fault> =>
  rows.length === 3 && rows.every((row) => row.token === token)
    ? Effect.void
    : Effect.fail(new Fault({ message: `${who} has another's rows: ${JSON.stringify(rows)}` }))

/** As soon as all sessions that were hit have been given up, and no login is remembered to have been refused (R18). */
const serves = (sql: PgClient.PgClient): Effect.Effect<void, Fault> =>
  Effect.gen(function*() {
    let last: unknown
    for (let inARow = 0, left = 60; inARow < 2; left--) {
      if (left === 0) {
        return yield* Effect.fail(new Fault({ message: `The pool does not serve any more: ${JSON.stringify(last)}` }))
      }
      const exit = yield* ended("who comes later", select(sql, `tok${100 + left}`))
      const rows = yield* typed("who comes later", exit)
      const isOwn = rows !== undefined && Exit.isSuccess(yield* Effect.exit(own(rows as Rows, `tok${100 + left}`, "")))
      inARow = isOwn ? inARow + 1 : 0
      if (!isOwn) yield* pause(100)
      last = exit
    }
  })
