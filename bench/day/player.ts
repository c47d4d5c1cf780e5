/** A contender in a process of its own. */
import * as Worker from "@effect/platform/Worker"
import { Effect, Schema } from "effect"
import type { Scope } from "effect"
import { layer } from "../worker.js"
import { Score } from "./play.js"

/** Who is to play, and on what. */
export class Prepare extends Schema.TaggedRequest<Prepare>()("Prepare", {
  payload: {
    contender: Schema.String,
    url: Schema.String,
    applicationName: Schema.String,
    statement: Schema.String
  },
  success: Schema.Void,
  failure: Schema.Defect
}) {}

/** Plays a day of so many seconds. */
export class Play extends Schema.TaggedRequest<Play>()("Play", {
  payload: { seconds: Schema.Number },
  success: Score,
  failure: Schema.Defect
}) {}

export type Who = Omit<typeof Prepare.Encoded, "_tag">

export interface Player {
  readonly play: (seconds: number) => Effect.Effect<Score, unknown>
}

/** Starts the contender's process, for the life of the scope. Nothing is open when it is ready. */
export const start = (who: Who): Effect.Effect<Player, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { executeEffect } = yield* Worker.makeSerialized<Prepare | Play>({})
    yield* executeEffect(new Prepare(who))
    return { play: (seconds: number) => executeEffect(new Play({ seconds })) }
  }).pipe(Effect.provide(layer(new URL("./playerMain.ts", import.meta.url))))
