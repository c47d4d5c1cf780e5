/** Statements that only their own answer satisfies. All chance is drawn before anything runs. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { Effect, Option, Stream } from "effect"
import type { Operation } from "./witness.js"

export type Act = Effect.Effect<unknown, unknown>

/** Asks for the number `n`; `rest` follows it in the list of what is selected. */
type Way<Via> = (via: Via, n: number, rest: string) => Act

const simple = (n: number, rest: string) => `SELECT ${n} AS n${rest}`
const extended = (rest: string) => `SELECT $1::integer AS n${rest}`

const ways: ReadonlyArray<Way<SqlClient>> = [
  (sql, n, rest) => Effect.map(sql.unsafe<any>(simple(n, rest)), ([row]) => row?.n),
  (sql, n, rest) => Effect.map(sql.unsafe<any>(extended(rest), [n]), ([row]) => row?.n),
  (sql, n, rest) => Effect.map(sql.unsafe(simple(n, rest)).values, ([row]) => row?.[0]),
  (sql, n, rest) => Effect.map(sql.unsafe(extended(rest), [n]).values, ([row]) => row?.[0]),
  (sql, n, rest) =>
    Effect.map(sql.unsafe(simple(n, rest)).raw as Effect.Effect<any, unknown>, (all) => all.rows?.[0]?.n),
  (sql, n, rest) => Effect.map(sql.unsafe(`${simple(n, rest)}; SELECT 1`), ([rows]: any) => rows?.[0]?.n)
]

const waysOfConnection: ReadonlyArray<Way<Connection>> = [
  (via, n, rest) => Effect.map(via.execute(simple(n, rest), [], undefined), ([row]) => row?.n),
  (via, n, rest) => Effect.map(via.execute(extended(rest), [n], undefined), ([row]) => row?.n),
  (via, n, rest) => Effect.map(via.executeValues(extended(rest), [n]), ([row]) => row?.[0]),
  (via, n, rest) =>
    Effect.map(via.executeRaw(simple(n, rest), []) as Effect.Effect<any, unknown>, (all) => all.rows?.[0]?.n),
  (via, n, rest) =>
    Effect.map(
      Stream.runHead(via.executeStream(extended(rest), [n], undefined)),
      (row) => Option.getOrUndefined(row)?.n
    )
]

const sleep = (millis: number) => millis === 0 ? "" : `, pg_sleep(${millis / 1000})`

/** A statement by itself, or of the transaction that it is in. */
export const statement = (operation: Operation, sql: SqlClient, millis: number): Act => {
  const way = operation.chance.pick(ways)
  return operation.answer((n) => way(sql, n, sleep(millis)))
}

export const statementOn = (operation: Operation, millis: number): (connection: Connection) => Act => {
  const way = operation.chance.pick(waysOfConnection)
  return (connection) => operation.answer((n) => way(connection, n, sleep(millis)))
}

/** Rows in order, each with a number that only this stream knows; often left early. */
export const stream = (operation: Operation, sql: SqlClient, betweenPages: Act = Effect.void): Act => {
  const { chance } = operation
  const count = chance.integer(0, 400)
  const take = chance.is(0.5) ? chance.integer(1, 400) : Infinity
  const slow = chance.is(0.5) ? ", CASE WHEN i % 50 = 0 THEN pg_sleep(0.002) END" : ""
  return operation.answer((n) => {
    let seen = 0
    let isOwn = true
    const rows = sql.unsafe<any>(`SELECT $1::integer AS n, i${slow} FROM generate_series(1, ${count}) i`, [n]).stream
    return rows.pipe(
      take === Infinity ? (all) => all : Stream.take(take),
      Stream.runForEach((row) => {
        isOwn &&= row.n === n && row.i === ++seen
        return seen % 150 === 0 ? betweenPages : Effect.void
      }),
      Effect.map(() => isOwn && seen === Math.min(take, count) ? n : undefined)
    )
  })
}
