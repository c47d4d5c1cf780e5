import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import Pg from "pg"
import { parts } from "../../src/internal/postgres/driver/pg.js"
import { makePool } from "../support/pgPool.js"

/** What `pg` has, once a session has logged in and answered a query. */
const used = Effect.gen(function*() {
  const { pool } = yield* makePool({ maxsize: 1, maxoverflow: 1 })
  return yield* pool.use(({ pg }) =>
    Effect.promise(async () => {
      const query = new Pg.Query<any>("SELECT $1::int AS n", [1])
      await new Promise((resolve, reject) => {
        // `pg` sets it on a query that has none.
        Object.assign(query, { callback: (error: unknown, result: unknown) => error ? reject(error) : resolve(result) })
        pg.query(query)
      })
      const { _result: result } = query as unknown as { readonly _result: object }
      const { utils } = Pg as unknown as { readonly utils: object }
      const owners: Record<keyof typeof parts, object> = { client: pg, wire: pg.connection, query, result, utils }
      return Object.entries(parts).flatMap(([owner, names]) =>
        Object.entries<string>(names).map(([name, what]) => ({
          name: `${owner}.${name}`,
          what,
          found: typeof Reflect.get(owners[owner as keyof typeof parts], name)
        }))
      )
    })
  )
})

describe("R17: what is used of pg beyond its types", () => {
  it.scopedLive("is all there in the version that is installed", () =>
    Effect.map(used, (all) => {
      assert.isAbove(all.length, 50)
      const missing = all.filter(({ found, what }) => found !== what)
        .map(({ found, name, what }) => `${name} is no ${what} any more (${found})`)
      assert.deepStrictEqual(missing, [])
    }))
})
