// Answers the question of peak.ts, which comes by standard input.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Fiber, Schedule } from "effect"
import { text } from "node:stream/consumers"
import * as Clients from "../clients.js"
import type { Peak, Use } from "./peak.js"
import { questionOf } from "./peak.js"

const now = (): Use => {
  const { heapUsed, rss } = process.memoryUsage()
  return { heap: heapUsed, rss }
}

const most = (uses: ReadonlyArray<Use>): Use => ({
  heap: Math.max(...uses.map(({ heap }) => heap)),
  rss: Math.max(...uses.map(({ rss }) => rss))
})

const watched = (work: Effect.Effect<unknown, unknown>): Effect.Effect<Peak, unknown> =>
  Effect.gen(function*() {
    globalThis.gc?.()
    const before = now()
    const uses = [before]
    const look = yield* Effect.fork(
      Effect.repeat(Effect.sync(() => void uses.push(now())), Schedule.spaced("10 millis"))
    )
    yield* work
    yield* Fiber.interrupt(look)
    return { before, early: most(uses.slice(0, Math.ceil(uses.length / 4))), most: most([...uses, now()]) }
  })

Effect.promise(() => text(process.stdin)).pipe(
  Effect.flatMap(questionOf),
  Effect.flatMap(({ name, url }) => Clients.make[name](url, 1)),
  // So that there is a connection.
  Effect.tap(({ asked }) => asked("rows", 1).lap(1)),
  Effect.flatMap(({ asked }) => watched(asked("stream", 1).lap(1))),
  Effect.flatMap((peak) => Console.log(JSON.stringify(peak))),
  Effect.scoped,
  NodeRuntime.runMain
)
