/** Streams that are cut off, read slowly or left early. */
import { Effect } from "effect"
import { within } from "../../server.js"
import type { Case } from "../case.js"
import { atMost, soon } from "../case.js"
import type { Stage } from "../stage.js"

/** 1 GB in all. */
const rows = "SELECT i, repeat('x', 1000) AS text FROM generate_series(1, 1000000) i"

/** Milliseconds until no connection is in use any more. */
const idleAgain = ({ contender: { ours } }: Stage) =>
  Effect.gen(function*() {
    const since = performance.now()
    yield* within(5000, ours!.stats, ({ busy, checking }) => busy + checking === 0)
    return performance.now() - since
  })

const inMegabytes = (bytes: number) => bytes / 2 ** 20

const killed: Case = {
  name: "session killed under a stream",
  deadline: 10_000,
  isIdle: true,
  break: (stage) =>
    Effect.gen(function*() {
      const { admin, app, contender, figures, load } = stage
      const reader = yield* Effect.fork(load.record("stream", contender.stream!(rows, Effect.void)))
      yield* within(5000, admin.sessions(app), ({ length }) => length > 0)
      yield* Effect.sleep(200)
      yield* admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [app])
      const struck = performance.now()
      const { end } = yield* reader
      figures.told = end - struck
      figures.back = yield* idleAgain(stage)
    }),
  expect: (seen) => [
    soon(seen, "ms to its error", seen.figures.told, 1000),
    soon(seen, "ms until its permit was back", seen.figures.back, 1000),
    atMost("streams that did not fail", 1 - seen.failed, 0)
  ]
}

const slow: Case = {
  name: "slow consumer of a stream, and an early end",
  deadline: 20_000,
  isIdle: true,
  break: (stage) =>
    Effect.gen(function*() {
      const { contender, figures, load } = stage
      const before = process.memoryUsage().rss
      let most = before
      let seen = 0
      const read = Effect.suspend(() => {
        most = Math.max(most, process.memoryUsage().rss)
        return ++seen % 100 === 0 ? Effect.sleep(50) : Effect.void
      })
      yield* load.record("stream", contender.stream!(rows, read, 5000))
      figures.back = yield* idleAgain(stage)
      figures.rows = seen
      figures.growth = inMegabytes(most - before)
    }),
  expect: (seen) => [
    atMost("failures", seen.failed, 0),
    atMost("rows missing", 5000 - seen.figures.rows, 0),
    atMost("MB of growth", seen.figures.growth, 50),
    soon(seen, "ms until its permit was back", seen.figures.back, 1000)
  ]
}

export const streams: ReadonlyArray<Case> = [killed, slow]
