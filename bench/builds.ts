/** What taking and giving back costs with one build of this package, beside another one. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Worker from "@effect/platform/Worker"
import { Effect } from "effect"
import type { Scope } from "effect"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { Contender, Figure, Ratio, Rounds } from "./measure.js"
import { compare, joined, named, times } from "./measure.js"
import type { Section } from "./report.js"
import { atMost, figure, ratio, table } from "./report.js"
import { layer, Run } from "./worker.js"

const names = { ours: "this build", other: "the other build" }

/**
 * In a process of its own, in which nothing else uses its code: V8 compiles code for all ways in which it was used, so
 * other pools with other options would show in the figures of whichever build has them in its process.
 */
const contender = (name: string, build: URL): Effect.Effect<Contender, unknown, Scope.Scope> =>
  Effect.map(
    Effect.provide(Worker.makeSerialized<Run>({}), layer(new URL("./buildsMain.ts", import.meta.url), build.href)),
    ({ executeEffect }) => ({ name, lap: (operations) => executeEffect(new Run({ operations })) })
  )

/** A copy inside this project, so that both run on the same Effect. */
const copied = (folder: string): Effect.Effect<URL, unknown, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const copy = yield* files.makeTempDirectoryScoped({
      directory: fileURLToPath(new URL("../node_modules", import.meta.url))
    })
    yield* files.copy(folder, copy, { overwrite: true })
    return pathToFileURL(`${copy}/`)
  })

/** One process may be slower than another one of the same build, for all of its life. */
const processes = 3

/** How many times as long as `other` the first one takes. */
export const moreTime = (ours: Figure, other: Figure): Ratio => times(ours, other)

/** `against`: the folder of the other build. */
export const builds = (
  against: string,
  { quick, ...rounds }: Rounds & { readonly quick: boolean }
): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const title = "Taking an idle item and giving it back, beside another build"
    const folders = {
      [names.ours]: new URL(".", import.meta.resolve("effect-pgpool")),
      [names.other]: yield* copied(against)
    }
    const inProcesses = Effect.scoped(Effect.flatMap(
      Effect.forEach(Object.entries(folders), ([name, folder]) => contender(name, folder), {
        concurrency: "unbounded"
      }),
      (contenders) => compare(title, contenders, rounds)
    ))
    const figures = (yield* Effect.replicateEffect(inProcesses, quick ? 1 : processes)).flat()
    const all = Object.values(names).map((name) => joined(figures.filter((figure) => figure.name === name)))
    const more = moreTime(named(all, names.ours), named(all, names.other))
    return {
      title,
      command: "npm run bench -- overhead --against DIR",
      markdown: table(
        ["`use`, each build in processes of its own", "µs", "least", "most", "µs of CPU"],
        all.map(({ cpu, name, rounds, wall }) => [
          name,
          ...[wall, Math.min(...rounds), Math.max(...rounds), cpu].map(figure)
        ])
      ) + `\n\nThis build takes so many times as long as the other one, round by round: ${ratio(more)}.`,
      goals: [atMost("take/give back, nobody looks, times the time of the other build", more, 1.02)]
    }
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
