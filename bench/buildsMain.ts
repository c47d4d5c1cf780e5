// `use` of the build in the folder that is named, in a process of its own, which ./builds.ts starts and asks.
import * as WorkerRunner from "@effect/platform/WorkerRunner"
import { Effect, Layer, Schema } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { fibers } from "./crowd.js"
import { Run, serve } from "./worker.js"

const runner = Layer.unwrapScoped(Effect.gen(function*() {
  const build = new URL("ElasticPool.js", process.argv[2])
  const { make } = yield* Effect.promise(() => import(build.href) as Promise<typeof ElasticPool>)
  const use = (yield* make({ acquire: Effect.succeed({}), maxsize: 1, maxoverflow: 1 })).use(() => Effect.void)
  const { lap } = fibers("use", 1, () => use)
  return WorkerRunner.layerSerialized(Schema.Union(Run), { Run: ({ operations }) => lap(operations) })
}))

serve(runner)
