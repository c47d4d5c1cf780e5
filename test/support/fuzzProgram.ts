// Run by protocol.test.ts: cases of a seed. Says which of them it plays, so that who watches knows in which it hangs.
import { Effect, Logger } from "effect"
import { writeSync } from "node:fs"
import { makeAuthority } from "./certificates.js"
import { play } from "./fuzz/cases.js"
import * as FuzzWire from "./fuzz/wire.js"
import { Chance } from "./storm/chance.js"

/** What it says, each in a line. */
export interface Line {
  readonly begin?: number
  readonly end?: number
  readonly moment?: string
  readonly fault?: string
  /** Megabytes. */
  readonly memory?: number
  readonly over?: boolean
}

const [seed, first, last] = process.argv.slice(2).map(Number)

const say = (what: Line) => writeSync(1, `${JSON.stringify(what)}\n`)
const memory = () => process.memoryUsage().rss / 2 ** 20
setInterval(() => say({ memory: memory() }), 100).unref()

const fault = (what: unknown) => say({ fault: String(what) })
process.on("uncaughtException", (error) => fault(`uncaught: ${error.stack}`))
process.on("unhandledRejection", (error) => fault(`unhandled: ${error instanceof Error ? error.stack : String(error)}`))

const certificate = makeAuthority("The fuzz").issue("localhost", ["localhost"])

const one = (index: number) =>
  Effect.suspend(() => {
    say({ begin: index })
    return play(new Chance(seed * 1_000_003 + index), certificate, index).pipe(
      Effect.matchCause({
        onFailure: (cause) => say({ end: index, fault: String(cause) }),
        onSuccess: (moment) => say({ end: index, moment })
      })
    )
  })

/** So many without a socket for each one with. */
const wired = 20

const many = (index: number) =>
  Effect.sync(() => {
    for (let i = index * wired; i < (index + 1) * wired; i++) {
      const { written } = FuzzWire.play(new Chance(seed * 1_000_003 + i))
      if (written > mostWritten) fault(`case ${i} without a socket: the client has sent ${written} bytes`)
    }
  })

/** What a server sends must not make the client send much more. */
const mostWritten = 100_000

Effect.runPromise(
  Effect.forEach(
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
    (i) => Effect.zipRight(one(i), many(i)),
    { concurrency: 16, discard: true }
  ).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
).then(() => say({ over: true, memory: memory() }))
