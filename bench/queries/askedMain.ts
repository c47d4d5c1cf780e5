// The client of that name, in a process of its own, which ./asked.ts starts and asks.
import * as WorkerRunner from "@effect/platform/WorkerRunner"
import { Effect, Layer, Schema, ScopedRef } from "effect"
import type { Name } from "../clients.js"
import * as Clients from "../clients.js"
import type { Contender } from "../measure.js"
import { Run, serve } from "../worker.js"
import { Begin, End } from "./asked.js"

const make = Clients.make[process.argv[2] as Name]

const runner = Layer.unwrapScoped(
  Effect.map(
    ScopedRef.make((): Contender | undefined => undefined),
    (current) =>
      WorkerRunner.layerSerialized(Schema.Union(Begin, Run, End), {
        Begin: ({ connections, fibers, shape, url }) =>
          ScopedRef.set(current, Effect.map(make(url, connections), ({ asked }) => asked(shape, fibers))),
        Run: ({ operations }) => Effect.flatMap(ScopedRef.get(current), (contender) => contender!.lap(operations)),
        End: () => ScopedRef.set(current, Effect.succeed(undefined))
      })
  )
)

serve(runner)
