import { SqlResolver } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Either, Option, Request, RequestResolver, Schema } from "effect"
import { PgPool } from "effect-pgpool"
import { makeMeeting } from "../support/ecosystem.js"
import { codeOf, makeTable, pidOf, serverUrl } from "../support/pgPool.js"

interface WhoAnswers extends Request.Request<number> {
  readonly _tag: "WhoAnswers"
  readonly n: number
}

const People = Schema.Struct({
  id: Schema.Number,
  name: Schema.NullOr(Schema.String),
  /** The backend that answered. */
  pid: Schema.Number
})

/** A table, and resolvers for it that tell which queries they made. */
const makeResolvers = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  const table = yield* makeTable("id integer PRIMARY KEY, name text NOT NULL")
  const queries: Array<ReadonlyArray<unknown>> = []
  const asked = (requests: ReadonlyArray<unknown>) => Effect.sync(() => queries.push(requests))

  const ordered = yield* SqlResolver.ordered("Get", {
    Request: Schema.Number,
    Result: People,
    execute: (ids) =>
      Effect.zipRight(
        asked(ids),
        sql`SELECT wanted.id, name, pg_backend_pid() AS pid
          FROM unnest(string_to_array(${ids.join()}, ',')::integer[]) WITH ORDINALITY AS wanted (id, place)
          LEFT JOIN ${sql(table.name)} people ON people.id = wanted.id
          ORDER BY place`
      )
  })
  const findById = yield* SqlResolver.findById("Find", {
    Id: Schema.Number,
    Result: People,
    ResultId: ({ id }) => id,
    execute: (ids) =>
      Effect.zipRight(
        asked(ids),
        sql`SELECT id, name, pg_backend_pid() AS pid FROM ${sql(table.name)} WHERE ${sql.in("id", ids)}`
      )
  })
  const grouped = yield* SqlResolver.grouped("Named", {
    Request: Schema.String,
    RequestGroupKey: (name) => name,
    Result: People,
    ResultGroupKey: ({ name }) => name,
    execute: (names) =>
      Effect.zipRight(
        asked(names),
        sql`SELECT id, name, pg_backend_pid() AS pid FROM ${sql(table.name)} WHERE ${sql.in("name", names)} ORDER BY id`
      )
  })
  const insert = yield* SqlResolver.void("Insert", {
    Request: Schema.Struct({ id: Schema.Number, name: Schema.String }),
    execute: (rows) => Effect.zipRight(asked(rows), sql`INSERT INTO ${sql(table.name)} ${sql.insert(rows)}`)
  })
  return { sql, table, queries, ordered, findById, grouped, insert }
})

const batching = { batching: true, concurrency: "unbounded" } as const

const ada = { id: 1, name: "Ada" }
const eve = { id: 2, name: "Eve" }
const grace = { id: 3, name: "Grace" }

layer(PgPool.layer({ url: serverUrl }), { excludeTestServices: true })("SqlResolver", (it) => {
  it.scoped("R31: void: many requests become one INSERT", () =>
    Effect.gen(function*() {
      const { insert, queries, table } = yield* makeResolvers
      yield* Effect.forEach([ada, eve, grace], insert.execute, batching)
      assert.deepStrictEqual(queries, [[ada, eve, grace]])
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
    }))

  it.scoped("R31: ordered: many requests become one query, each gets its own answer", () =>
    Effect.gen(function*() {
      const { insert, ordered, queries } = yield* makeResolvers
      yield* insert.execute(eve)
      const rows = yield* Effect.forEach([3, 2, 1], ordered.execute, batching)
      assert.deepStrictEqual(queries, [[eve], [3, 2, 1]])
      assert.deepStrictEqual(rows.map(({ id, name }) => [id, name]), [[3, null], [2, "Eve"], [1, null]])
    }))

  it.scoped("R31: findById: many requests become one query, what there is not is None", () =>
    Effect.gen(function*() {
      const { findById, insert, queries } = yield* makeResolvers
      yield* Effect.forEach([ada, eve], insert.execute, batching)
      const rows = yield* Effect.forEach([1, 7, 2], findById.execute, batching)
      assert.deepStrictEqual(queries, [[ada, eve], [1, 7, 2]])
      assert.deepStrictEqual(rows.map(Option.map(({ name }) => name)), [
        Option.some("Ada"),
        Option.none(),
        Option.some("Eve")
      ])
    }))

  it.scoped("R31: grouped: many requests become one query, each gets its group", () =>
    Effect.gen(function*() {
      const { grouped, insert, queries } = yield* makeResolvers
      yield* Effect.forEach([ada, eve, { id: 3, name: "Ada" }], insert.execute, batching)
      const groups = yield* Effect.forEach(["Eve", "Ada", "Bob"], grouped.execute, batching)
      assert.deepStrictEqual(queries[1], ["Eve", "Ada", "Bob"])
      assert.deepStrictEqual(groups.map((group) => group.map(({ id }) => id)), [[2], [1, 3], []])
    }))

  it.scoped("R31: a failing query fails each of its requests with the SqlError", () =>
    Effect.gen(function*() {
      const { insert, queries, table } = yield* makeResolvers
      yield* insert.execute(ada)
      const results = yield* Effect.forEach([eve, ada], (person) => Effect.either(insert.execute(person)), batching)
      assert.deepStrictEqual(queries, [[ada], [eve, ada]])
      for (const result of results) {
        assert.deepInclude(Either.getOrThrow(Either.flip(result)), { _tag: "SqlError" })
        assert.strictEqual(codeOf(Either.getOrThrow(Either.flip(result))), "23505")
      }
      assert.deepStrictEqual(yield* table.ids, [1])
    }))

  it.scoped("R31: in a transaction they run on its connection, see what it did and are undone with it", () =>
    Effect.gen(function*() {
      const { findById, grouped, insert, ordered, queries, sql, table } = yield* makeResolvers
      const error = yield* sql.withTransaction(Effect.gen(function*() {
        const mine = yield* pidOf(sql)
        yield* Effect.forEach([ada, eve], insert.execute, batching)
        assert.deepStrictEqual(yield* table.ids, [])
        const people = [ada, eve].map((person) => ({ ...person, pid: mine }))
        assert.deepStrictEqual(yield* Effect.forEach([1, 2], ordered.execute, batching), people)
        assert.deepStrictEqual(yield* Effect.forEach([1, 2], findById.execute, batching), people.map(Option.some))
        assert.deepStrictEqual(
          yield* Effect.forEach(["Ada", "Eve"], grouped.execute, batching),
          people.map((person) => [person])
        )
        return yield* Effect.fail("no" as const)
      })).pipe(Effect.flip)
      assert.strictEqual(error, "no")
      assert.deepStrictEqual(queries, [[ada, eve], [1, 2], [1, 2], ["Ada", "Eve"]])
      assert.deepStrictEqual(yield* table.ids, [])
    }))

  it.scoped("R31: two transactions at the same time: the requests of each stay in it", () =>
    Effect.gen(function*() {
      const { insert, ordered, queries, sql } = yield* makeResolvers
      const written = yield* makeMeeting(2)
      const seen = yield* makeMeeting(2)
      const transactions = yield* Effect.forEach([ada, eve], (person) =>
        sql.withTransaction(Effect.gen(function*() {
          const mine = yield* pidOf(sql)
          yield* insert.execute(person)
          yield* written
          const people = yield* Effect.forEach([1, 2], ordered.execute, batching)
          yield* seen
          return { mine, people }
        })), batching)
      const [first, second] = transactions.map(({ mine }) => mine)
      assert.notStrictEqual(first, second)
      assert.sameDeepMembers(queries, [[ada], [eve], [1, 2], [1, 2]])
      assert.deepStrictEqual(transactions.map(({ people }) => people), [
        [{ ...ada, pid: first }, { id: 2, name: null, pid: first }],
        [{ id: 1, name: null, pid: second }, { ...eve, pid: second }]
      ])
    }))

  it.scoped("R31: requests of a transaction are not merged with those outside", () =>
    Effect.gen(function*() {
      const { insert, ordered, queries, sql } = yield* makeResolvers
      const [[mine, inside], outside] = yield* Effect.all([
        sql.withTransaction(Effect.all([pidOf(sql), Effect.zipRight(insert.execute(ada), ordered.execute(1))])),
        ordered.execute(2)
      ], batching)
      assert.sameDeepMembers(queries, [[ada], [1], [2]])
      assert.deepStrictEqual(inside, { ...ada, pid: mine })
      assert.deepInclude(outside, { id: 2, name: null })
    }))

  it.scoped("R31: nested transactions at the same time: each makes its requests in turn", () =>
    Effect.gen(function*() {
      const { insert, ordered, queries, sql, table } = yield* makeResolvers
      const both = Effect.forEach([ada, eve], ({ id, name }) =>
        sql.withTransaction(Effect.zipRight(insert.execute({ id, name }), ordered.execute(id))), batching)
      const people = yield* sql.withTransaction(both).pipe(Effect.timeout("10 seconds"))
      assert.deepInclude(people[0], ada)
      assert.deepInclude(people[1], eve)
      assert.deepStrictEqual(queries, [[ada], [1], [eve], [2]])
      assert.deepStrictEqual(yield* table.ids, [1, 2])
    }))

  it.scoped("R31: requests of a resolver that knows nothing of transactions stay in them too", () =>
    Effect.gen(function*() {
      const { sql } = yield* makeResolvers
      const WhoAnswers = Request.tagged<WhoAnswers>("WhoAnswers")
      const resolver = RequestResolver.makeBatched((requests: Array<WhoAnswers>) =>
        Effect.flatMap(
          Effect.orDie(pidOf(sql)),
          (pid) => Effect.forEach(requests, Request.succeed(pid), { discard: true })
        )
      )
      const pids = yield* Effect.forEach(
        [1, 2],
        (n) => sql.withTransaction(Effect.all([pidOf(sql), Effect.request(WhoAnswers({ n }), resolver)])),
        batching
      )
      for (const [mine, answered] of pids) assert.strictEqual(answered, mine)
    }))
})

const Small = PgPool.layer({ url: serverUrl, maxsize: 1, maxoverflow: 1 })

layer(Small, { excludeTestServices: true })("SqlResolver on a small pool", (it) => {
  it.scoped("R31: transactions of one batch don't wait for the connection that another of them holds", () =>
    Effect.gen(function*() {
      const { insert, sql, table } = yield* makeResolvers
      yield* Effect.forEach([ada, eve, grace], (person) => sql.withTransaction(insert.execute(person)), batching).pipe(
        Effect.timeout("10 seconds")
      )
      assert.deepStrictEqual(yield* table.ids, [1, 2, 3])
    }))
})
