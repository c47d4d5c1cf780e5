import { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { PgPool } from "effect-pgpool"
import * as Testing from "effect-pgpool/Testing"

const users = { text: "SELECT name FROM users", rows: [{ name: "Ada" }] }

const select = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT name FROM users`)

describe("R47: a layer whose pools are in another test layer already", () => {
  const inTwo: Record<string, [layer: Layer.Layer<never, SqlError>, outer: string, inner: string]> = {
    "faults of layer": [Layer.discard(Testing.faults(Testing.layer())), "faults", "layer"],
    "faults of scripted": [Layer.discard(Testing.faults(Testing.scripted(PgPool.layer({})))), "faults", "scripted"],
    "scripted of layer": [Layer.discard(Testing.scripted(Testing.layer())), "scripted", "layer"],
    "scripted of a program over layer": [
      Layer.discard(Testing.scripted(Layer.provideMerge(
        Layer.effectDiscard(select),
        Testing.layer({ statements: [users] })
      ))),
      "scripted",
      "layer"
    ]
  }
  for (const [name, [layer, outer, inner]] of Object.entries(inTwo)) {
    it.effect(`is a defect that names both: ${name}`, () =>
      Effect.map(
        Effect.exit(Effect.scoped(Layer.build(layer))),
        (exit) =>
          assert.include(
            String(Exit.isFailure(exit) ? Cause.squash(exit.cause) : "it is allowed"),
            `Testing.${outer}: the pools of the layer are those of Testing.${inner} already, which has Faults of its own. ` +
              "Leave out one of the two"
          )
      ))
  }

  it.effect("is well if it has a pool besides", () =>
    Effect.map(select, (rows) => assert.deepStrictEqual(rows, [{ name: "Ada" }])).pipe(
      Effect.provide(Testing.scripted(Layer.provideMerge(PgPool.layer({}), Testing.layer()), { statements: [users] }))
    ))
})
