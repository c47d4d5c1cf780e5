/** Sessions that are ended by the server. */
import { Effect } from "effect"
import type { Case } from "../case.js"
import { atMost, fullRateWithin, nobodyFails } from "../case.js"
import type { Stage } from "../stage.js"

const rounds = 5

/** All connections are open and idle. */
const fill = ({ contender, load, size }: Stage) =>
  Effect.all(
    Array.from({ length: size }, () => load.record("fill", contender.transaction([["SELECT pg_sleep(0.05)", []]]))),
    { concurrency: "unbounded" }
  )

const terminate = ({ admin, app }: Pick<Stage, "admin" | "app">, which: string) =>
  Effect.map(
    admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 ${which}`, [app]),
    (rows) => rows.length
  )

/** All idle sessions are killed, and so many milliseconds later all are needed. */
const idle = (millis: number): Case => ({
  name: `idle sessions killed ${millis} ms before use`,
  deadline: 3000,
  isIdle: true,
  break: (stage) =>
    Effect.gen(function*() {
      let kills = 0
      for (let round = 0; round < rounds; round++) {
        yield* fill(stage)
        const killed = yield* Effect.fork(terminate(stage, ""))
        if (millis > 0) {
          kills += yield* killed
          yield* Effect.sleep(millis)
        }
        yield* Effect.all(
          Array.from({ length: 2 * stage.size }, () => stage.load.record("use", stage.contender.query("SELECT 1", []))),
          { concurrency: "unbounded" }
        )
        if (millis === 0) kills += yield* killed
      }
      stage.figures.kills = kills
    }),
  expect: (seen) =>
    millis > 0 ? [nobodyFails(seen)] : [
      atMost("callers who failed", seen.failed, seen.figures.kills),
      atMost("failures that may not be retried", seen.refused, 0)
    ]
})

/** Kills again and again, and counts who was hit: those who were at work. */
const busy = (
  name: string,
  often: { readonly every: number; readonly rounds: number; readonly which: string }
): Case => ({
  name,
  deadline: 3000,
  break: (stage) =>
    Effect.gen(function*() {
      let kills = 0
      for (let round = 0; round < often.rounds; round++) {
        kills += yield* terminate(stage, often.which)
        yield* Effect.sleep(often.every)
      }
      stage.figures.kills = kills
    }),
  expect: (seen) => [
    // Of those who share a session one fails, and the others are sent again: but where a write failed before the server's
    // last words were read, nobody knows what became of them.
    atMost("callers who failed", seen.failed, seen.figures.kills * seen.share),
    atMost("callers whose deadline passed", seen.deadlines, 0),
    fullRateWithin(1000)(seen)
  ]
})

export const kills: ReadonlyArray<Case> = [
  idle(200),
  idle(50),
  idle(0),
  busy("busy sessions killed: 2 per 80 ms", { every: 80, rounds: 40, which: "AND state <> 'idle' LIMIT 2" }),
  busy("busy sessions killed: all every 40 ms", { every: 40, rounds: 200, which: "" })
]
