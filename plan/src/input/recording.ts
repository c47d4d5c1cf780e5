/** Arrivals from a recording that a pool made of its callers: `PoolRecording`. */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as PoolRecording from "effect-pgpool/PoolRecording"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Hold } from "../load.js"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import { takeAll } from "./csv.js"
import type { Input } from "./input.js"
import { inLine, unreadable } from "./input.js"
import { Requests } from "./requests.js"

export const readRecording = (
  file: string,
  hold: Hold | undefined
): Effect.Effect<Input, Mistake, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const requests = new Requests()
    const resized: Array<PoolRecording.Resized> = []
    let dropped = 0
    const take = (line: PoolRecording.Line | PoolRecording.CutShort): Mistake | undefined => {
      if (line._tag === "Loan") requests.add(line.asked, hasHeld(line) ? line.held : NaN)
      else if (line._tag === "Dropped") dropped += line.count
      else if (line._tag === "Resized") resized.push(line)
      else if (line._tag === "CutShort") return inLine(file, line.line, cutOff)
    }
    yield* PoolRecording.read(file).pipe(
      Stream.mapError((error) =>
        error._tag === "BadRecording" ? inLine(file, error.line, error.reason) : unreadable(file, error)
      ),
      Stream.runForEachChunk((chunk) => takeAll(chunk, take))
    )
    if (requests.length === 0) return yield* mistake(`${file} has no callers: the pool was not used while it recorded`)
    const without = requests.fillHolds(1)
    if (without === requests.length && hold === undefined) {
      return yield* mistake(`In ${file} no caller got a connection: say with --hold how long they would have held one`)
    }
    const finished = requests.finish(file, hold)
    const resizes = resized.map(({ at, maxoverflow, maxsize }) => ({
      at: Math.max(0, at - (finished.began ?? 0)),
      maxsize,
      maxoverflow
    }))
    return {
      ...finished,
      resizes,
      notes: [
        ...resizes.length > 0 ? [`${timesResized(resizes.length)} Each candidate keeps its numbers.`] : [],
        ...dropped > 0 ? [`${dropped} callers are missing in the recording, so the load was higher.`] : [],
        ...without > 0 && hold === undefined
          ? [`${without} callers got no connection: how long they would have held one is taken from the others.`]
          : []
      ]
    }
  })

const timesResized = (count: number): string =>
  `The pool was resized ${count === 1 ? "once" : `${count} times`} while it recorded.`

const hasHeld = ({ outcome }: PoolRecording.Loan): boolean => outcome === "returned" || outcome === "cutOff"

const cutOff = "it is cut off; remove this line to plan with the others"
