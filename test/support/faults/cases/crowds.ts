/** More callers than a pool can serve at once. */
import { Effect } from "effect"
import type { Case } from "../case.js"
import { atMost } from "../case.js"
import type { Stage } from "../stage.js"

const waiters = 10_000

const hold = ({ contender, size }: Stage, seconds: number) =>
  Effect.gen(function*() {
    for (let n = 0; n < size; n++) {
      yield* Effect.forkScoped(Effect.ignore(contender.transaction([["SELECT pg_sleep($1)", [seconds]]])))
    }
    yield* Effect.sleep(500)
  })

const inOrder: Case = {
  name: "10,000 waiters: in order",
  deadline: 100_000,
  ours: () => ({ acquireTimeout: "2 minutes" }),
  isIdle: true,
  break: (stage) =>
    Effect.gen(function*() {
      const { contender, figures, load } = stage
      yield* hold(stage, 2)
      let served = 0
      const displaced: Array<number> = []
      const wait = (n: number) =>
        Effect.tap(load.record("query", contender.query("SELECT 1", [])), () =>
          Effect.sync(() => displaced.push(Math.abs(served++ - n))))
      yield* Effect.forEach(
        Array.from({ length: waiters }, (_, n) =>
          n),
        wait,
        {
          concurrency: "unbounded",
          discard: true
        }
      )
      figures.displaced = displaced.sort((a, b) => a - b)[Math.floor(waiters * 0.99)]
    }),
  expect: ({ failed, figures, inFlight, ok }) => [
    atMost("waiters who were not served", failed + waiters - ok, 0),
    // Answers of different connections may overtake each other, and one that the system holds up is passed by many.
    atMost("places that 99 of 100 were served before or after their turn", figures.displaced, 2 * inFlight)
  ]
}

const atDeadline: Case = {
  name: "10,000 waiters: each at its deadline",
  deadline: 5000,
  isIdle: true,
  plainOnly: "they wait for connections that nobody shares",
  break: (stage) =>
    Effect.gen(function*() {
      const { contender, load } = stage
      yield* hold(stage, 60)
      // They come one after the other: else all deadlines were one.
      const come = (n: number) =>
        Effect.delay(load.record("query", contender.query("SELECT 1", [])), n * 4000 / waiters)
      yield* Effect.forEach(Array.from({ length: waiters }, (_, n) => n), come, {
        concurrency: "unbounded",
        discard: true
      })
    }),
  heal: ({ admin, app }) =>
    admin.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [app]),
  expect: ({ deadlines }) => [atMost("waiters who were not told", waiters - deadlines, 0)]
}

/** How many sockets it has, every dial is asked; the aftermath looks at it. */
const burst: Case = {
  name: "cold burst of 600",
  deadline: 10_000,
  isIdle: true,
  break: ({ contender, load }) =>
    Effect.replicateEffect(load.record("query", contender.query("SELECT pg_sleep(0.01)", [])), 600, {
      concurrency: "unbounded"
    }),
  expect: ({ deadlines, failed }) => [atMost("callers who failed", failed + deadlines, 0)]
}

export const crowds: ReadonlyArray<Case> = [inOrder, atDeadline, burst]
