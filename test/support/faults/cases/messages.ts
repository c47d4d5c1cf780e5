/** Messages of the server that don't come as they were sent. */
import { Effect } from "effect"
import type { End } from "../../../../src/internal/testing/network.js"
import type { Case } from "../case.js"
import { atLeast, atMost, fullRateWithin, proxied } from "../case.js"

const rounds = 5

/** What one chunk of the server's becomes, again and again; afterwards all is well. */
const mangled = (name: string, mangle: (chunk: Buffer, client: End) => Buffer | undefined): Case => ({
  name,
  deadline: 3000,
  through: proxied,
  break: ({ figures, proxy }) =>
    Effect.gen(function*() {
      figures.mangled = 0
      for (let round = 0; round < rounds; round++) {
        proxy.onAnswer = (chunk, client) => {
          if (chunk.length < 20) return chunk
          proxy.onAnswer = (chunk) => chunk
          figures.mangled++
          return mangle(chunk, client)
        }
        yield* Effect.sleep(150)
      }
    }),
  expect: (seen) => [
    atLeast("messages mangled", seen.figures.mangled, rounds),
    atMost("callers who failed", seen.failed, seen.figures.mangled * seen.share),
    atMost("failures that claim to have had no effect", seen.refused, 0),
    atMost("callers whose deadline passed", seen.deadlines, 0),
    fullRateWithin(1000)(seen)
  ]
})

export const messages: ReadonlyArray<Case> = [
  mangled("cut in the middle of a message", (chunk, client) => {
    client.end(chunk.subarray(0, chunk.length - 10))
    return undefined
  }),
  mangled("reset in the middle of a message", (chunk, client) => {
    client.write(chunk.subarray(0, chunk.length - 10), () => client.resetAndDestroy())
    return undefined
  }),
  mangled("malformed: another kind of message", (chunk) => {
    const changed = Buffer.from(chunk)
    changed[0] = 0xff
    return changed
  }),
  mangled("malformed: a row with fewer columns than it says", (chunk) => {
    const changed = Buffer.from(chunk)
    for (let at = 0; at + 5 < changed.length; at += 1 + changed.readInt32BE(at + 1)) {
      if (changed[at] === "D".charCodeAt(0)) changed.writeInt16BE(99, at + 5)
    }
    return changed
  })
]
