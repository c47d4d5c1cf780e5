/** Files for a test, gone after it. */
import { FileSystem } from "@effect/platform"
import { Effect } from "effect"

export const fileOf = (name: string, content: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = `${yield* fs.makeTempDirectoryScoped()}/${name}`
    yield* fs.writeFileString(path, content)
    return path
  })
