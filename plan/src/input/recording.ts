/** Arrivals from a recording that a pool made of its callers: `PoolRecording`. */
import * as PoolRecording from "effect-pgpool/PoolRecording"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Hold } from "../load.js"
import type { Mistake } from "../mistake.js"
import { mistake } from "../mistake.js"
import { counted } from "../report/words.js"
import { bytesOf } from "./bytes.js"
import type { Input } from "./input.js"
import { inLine } from "./input.js"
import { Requests } from "./requests.js"
import { takeAll } from "./take.js"

export const readRecording = (
  file: string,
  hold: Hold | undefined
): Effect.Effect<Input, Mistake> =>
  Effect.gen(function*() {
    const requests = new Requests()
    const resized: Array<PoolRecording.Resized> = []
    let dropped = 0
    let present = { maxsize: 1, maxoverflow: 1 }
    const take = (line: PoolRecording.Line | PoolRecording.CutShort): Mistake | undefined => {
      if (line._tag === "Loan") requests.add(line.asked, hasHeld(line) ? line.held : NaN)
      else if (line._tag === "Dropped") dropped += line.count
      else if (line._tag === "CutShort") return inLine(file, line.line, cutOff)
      else {
        present = { maxsize: line.maxsize, maxoverflow: line.maxoverflow }
        if (line._tag === "Resized") resized.push(line)
      }
    }
    yield* PoolRecording.decode(bytesOf(file)).pipe(
      Stream.mapError((error) => error._tag === "BadRecording" ? inLine(file, error.line, error.reason) : error),
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
      present,
      notes: [
        `The pool had maxsize ${present.maxsize} and maxoverflow ${present.maxoverflow}.`,
        ...resizes.length > 0 ? [`${timesResized(resizes.length)} Each candidate keeps its numbers.`] : [],
        ...dropped > 0
          ? [
            `${counted(dropped, "caller")} ${
              dropped === 1 ? "is" : "are"
            } missing in the recording, so the load was higher.`
          ]
          : [],
        ...without > 0 && hold === undefined
          ? [
            `${counted(without, "caller")} got no connection: how long ${
              without === 1 ? "it" : "they"
            } would have held one is taken from the others.`
          ]
          : []
      ]
    }
  })

const timesResized = (count: number): string =>
  `Those are its last limits: it was resized ${count === 1 ? "once" : `${count} times`}.`

const hasHeld = ({ outcome }: PoolRecording.Loan): boolean => outcome === "returned" || outcome === "cutOff"

const cutOff = "it is cut off; remove this line to plan with the others"
