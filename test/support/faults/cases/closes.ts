/** Pools that are closed while something is amiss. */
import { Effect, Fiber } from "effect"
import type { Case, Seen } from "../case.js"
import { atMost, proxied, soon } from "../case.js"
import type { Stage } from "../stage.js"

const grace = 1000

const ours = () => ({ closeTimeout: grace })

/** Milliseconds that it takes. */
const close = ({ contender, figures }: Stage) =>
  Effect.gen(function*() {
    const since = performance.now()
    yield* contender.close
    figures.closing = performance.now() - since
  })

/** The load would only go on to be refused. */
const closeAndStop = (stage: Stage) => Effect.zipRight(close(stage), stage.load.stop)

const inTime = (seen: Seen) => soon(seen, "ms to close", seen.figures.closing, grace + 500)

const underLoad: Case = {
  name: "close under load",
  deadline: 3000,
  ours,
  isClosed: true,
  break: closeAndStop,
  expect: (seen) => [inTime(seen), atMost("deadlines passed", seen.deadlines, 0)]
}

const dead: Case = {
  name: "close with dead connections",
  deadline: 3000,
  ours,
  through: proxied,
  surplus: true,
  isClosed: true,
  break: (stage) =>
    Effect.gen(function*() {
      stage.proxy.halfOpen()
      yield* Effect.sleep(100)
      yield* closeAndStop(stage)
    }),
  expect: (seen) => [inTime(seen)]
}

/** Nobody holds anything: there is nothing to wait for. */
const connecting: Case = {
  name: "close while connecting",
  deadline: 5000,
  isIdle: true,
  ours,
  through: proxied,
  surplus: true,
  isClosed: true,
  break: (stage) =>
    Effect.gen(function*() {
      const { contender, figures, load, proxy } = stage
      proxy.blackhole()
      const waiters = yield* Effect.fork(
        Effect.replicateEffect(load.record("query", contender.query("SELECT 1", [])), 20, { concurrency: "unbounded" })
      )
      yield* Effect.sleep(200)
      const closing = performance.now()
      yield* close(stage)
      const ended = yield* Fiber.join(waiters)
      figures.waiters = Math.max(...ended.map(({ end }) => end)) - closing
      proxy.heal()
    }),
  expect: (seen) => [
    soon(seen, "ms to close", seen.figures.closing, 500),
    soon(seen, "ms until its waiters were told", seen.figures.waiters, 0),
    atMost("waiters who were not refused", 20 - seen.refused, 0)
  ]
}

const twice: Case = {
  name: "close twice",
  deadline: 3000,
  ours,
  isClosed: true,
  break: (stage) =>
    Effect.gen(function*() {
      yield* Effect.all([close(stage), close(stage)], { concurrency: 2 })
      yield* closeAndStop(stage)
    }),
  expect: (seen) => [inTime(seen)]
}

export const closes: ReadonlyArray<Case> = [underLoad, dead, connecting, twice]
