/** The lines of a file, one after the other: a file may be longer than the memory. */
import * as Chunk from "effect/Chunk"
import * as Stream from "effect/Stream"
import type { Mistake } from "../mistake.js"
import { bytesOf } from "./bytes.js"

export interface Line {
  readonly text: string
  /** From 1 on. */
  readonly number: number
  /** It is the last one, and does not end as a line does. */
  readonly isOpen: boolean
}

/** Is put behind the last line. No text file has it. */
const end = "\u0004"

export const linesOf = (file: string): Stream.Stream<Line, Mistake> =>
  Stream.decodeText(bytesOf(file)).pipe(
    Stream.concat(Stream.make(end)),
    Stream.splitLines,
    Stream.mapChunks((chunk) => Chunk.filter(chunk, (text) => text !== end)),
    Stream.mapAccum(0, (before, text) => {
      const isOpen = text.endsWith(end)
      return [before + 1, { text: isOpen ? text.slice(0, -end.length) : text, number: before + 1, isOpen }]
    })
  )
