/** A client in a process of its own, as in a program of users. */
import * as Worker from "@effect/platform/Worker"
import { Effect, Schema } from "effect"
import type { Scope } from "effect"
import type { Name } from "../clients.js"
import { shapes } from "../clients.js"
import type { Contender } from "../measure.js"
import { layer, Run } from "../worker.js"

/** What the client is asked until `End`, over a pool that is made for it. */
export class Begin extends Schema.TaggedRequest<Begin>()("Begin", {
  payload: {
    url: Schema.String,
    connections: Schema.Number,
    shape: Schema.Literal(...shapes),
    fibers: Schema.Number
  },
  success: Schema.Void,
  failure: Schema.Defect
}) {}

export class End extends Schema.TaggedRequest<End>()("End", {
  payload: {},
  success: Schema.Void,
  failure: Schema.Never
}) {}

export interface Asked {
  readonly begin: (cell: Omit<typeof Begin.Encoded, "_tag">) => Effect.Effect<Contender, unknown, Scope.Scope>
}

/** Starts the client's process, for the life of the scope. */
export const start = (name: Name): Effect.Effect<Asked, unknown, Scope.Scope> =>
  Effect.map(
    Effect.provide(
      Worker.makeSerialized<Begin | Run | End>({}),
      layer(new URL("./askedMain.ts", import.meta.url), name)
    ),
    ({ executeEffect }) => ({
      begin: (cell) =>
        Effect.as(Effect.acquireRelease(executeEffect(new Begin(cell)), () => Effect.orDie(executeEffect(new End()))), {
          name,
          unit: cell.fibers,
          lap: (operations) => executeEffect(new Run({ operations }))
        })
    })
  )
