/** Callers' deadlines of 300 ms, in every state of the pool and for all that one can ask it. */
import { Effect } from "effect"
import { within } from "../../server.js"
import type { Case } from "../case.js"
import { atMost, proxied } from "../case.js"
import type { Stage } from "../stage.js"

const sleep = "SELECT pg_sleep(5)"

const askAll = ({ contender, load }: Stage) =>
  Effect.all([
    load.record("query", contender.query(sleep, [])),
    load.record("transaction", contender.transaction([[sleep, []]])),
    load.record("stream", contender.stream!(sleep, Effect.void))
  ], { concurrency: "unbounded" })

/** That none was later than 100 ms, the aftermath says. */
const common: Pick<Case, "deadline" | "isIdle" | "expect"> = {
  deadline: 300,
  isIdle: true,
  expect: (
    { deadlines, failed, ok }
  ) => [
    atMost("calls that ended otherwise than by their deadline", failed + ok, 0),
    atMost("deadlines missing", 3 - deadlines, 0)
  ]
}

const running: Case = { ...common, name: "deadline 300 ms: running", break: askAll }

const waiting: Case = {
  ...common,
  name: "deadline 300 ms: waiting for a connect",
  through: proxied,
  break: (stage) =>
    Effect.suspend(() => {
      stage.proxy.connectDelay = 800
      return askAll(stage)
    }),
  heal: ({ proxy }) =>
    Effect.sync(() => {
      proxy.connectDelay = 0
    })
}

const full: Case = {
  ...common,
  name: "deadline 300 ms: pool full",
  break: (stage) =>
    Effect.gen(function*() {
      const { admin, app, contender, size } = stage
      for (let n = 0; n < size; n++) yield* Effect.forkScoped(Effect.ignore(contender.transaction([[sleep, []]])))
      const active = Effect.map(admin.sessions(app), (all) => all.filter(({ state }) => state === "active"))
      yield* within(2000, active, ({ length }) => length === size)
      yield* askAll(stage)
      yield* admin.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [app])
    })
}

export const deadlines: ReadonlyArray<Case> = [running, waiting, full]
