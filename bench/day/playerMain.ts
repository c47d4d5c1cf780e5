// Plays the day with one contender, in a process of its own, which ./player.ts starts and asks.
import * as WorkerRunner from "@effect/platform/WorkerRunner"
import { Effect, Layer, Schema, ScopedRef } from "effect"
import { serve } from "../worker.js"
import type { Send } from "./contenders.js"
import { contenders } from "./contenders.js"
import { planOf, play } from "./play.js"
import { Play, Prepare } from "./player.js"

/** Requests by which the code is compiled, as in a process that has run for longer: one each millisecond. */
const warmUp = Array.from({ length: 2000 }, (_, i) => i)

const runner = Layer.unwrapScoped(
  Effect.map(
    ScopedRef.make((): Send | undefined => undefined),
    (current) =>
      WorkerRunner.layerSerialized(Schema.Union(Prepare, Play), {
        Prepare: ({ contender, ...connecting }) => {
          const make = contenders[contender]
          const warm = make({ ...connecting, applicationName: "warm-up" })
          // The pool that is measured opens everything anew.
          return Effect.zipRight(
            Effect.scoped(Effect.flatMap(warm, (send) => play(send, warmUp))),
            ScopedRef.set(current, make(connecting))
          )
        },
        Play: (day) => Effect.flatMap(ScopedRef.get(current), (send) => play(send!, planOf(day)))
      })
  )
)

serve(runner)
