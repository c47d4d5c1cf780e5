/** How a day is played: what is asked when, and how long the answers take. */
import { Effect, Schema } from "effect"
import type { Load } from "../simulate/load.js"
import { arrivals, constant } from "../simulate/load.js"
import { dayOf } from "../simulate/loads.js"
import { quantile, quantilesOf } from "../times.js"
import type { Send } from "./contenders.js"

export interface Day {
  readonly seconds: number
}

/**
 * How many times slower everything is than in the day that was planned. Otherwise two cores, which the server shares
 * with its client, would be what callers wait for, and not connections: a burst of 4,000 requests in a second takes more
 * than one thread can do.
 */
export const slowness = 4

const Quantiles = Schema.Struct({ p50: Schema.Number, p99: Schema.Number, p999: Schema.Number })

/** How it went. Times are in milliseconds: those of the requests that did not fail. */
export const Score = Schema.Struct({
  requests: Schema.Number,
  failures: Schema.Number,
  ...Quantiles.fields,
  /** Those of all requests, if one that fails is infinitely slow. */
  withFailures: Quantiles,
  /** How late 99 of 100 requests were made, at most. */
  late: Schema.Number,
  /** CPU time of this process. */
  cpu: Schema.Number
})

export type Score = typeof Score.Type

/** How long each phase is, in seconds, and how many requests come in a second of it. */
export const phasesOf = (seconds: number): Load["phases"] =>
  dayOf(seconds / slowness).map(([length, perSecond]) => [length * slowness, perSecond / slowness])

/** When requests are due, in milliseconds: the same for all. */
export const planOf = ({ seconds }: Day): ReadonlyArray<number> =>
  Array.from(arrivals({ phases: phasesOf(seconds), service: constant(0) }, 1), ({ at }) => at)

/**
 * Makes each request when it is due, whatever became of those before it, and takes its time from then on: also the time
 * for which a busy process could not make it.
 */
export const play = (send: Send, plan: ReadonlyArray<number>): Effect.Effect<Score> =>
  Effect.async((resume) => {
    const begin = performance.now()
    const cpu = process.cpuUsage()
    const late = new Float64Array(plan.length)
    const latencies: Array<number> = []
    let failures = 0
    const score = (): Score => {
      const { system, user } = process.cpuUsage(cpu)
      const sorted = latencies.sort((a, b) => a - b)
      return {
        requests: plan.length,
        failures,
        ...quantilesOf(sorted),
        withFailures: quantilesOf([...sorted, ...new Array<number>(failures).fill(Infinity)]),
        late: quantile(late.sort(), 0.99),
        cpu: (user + system) / 1000
      }
    }
    const done = (due: number) => (error: unknown) => {
      if (error === undefined || error === null) latencies.push(performance.now() - begin - due)
      else if (failures++ === 0) console.error(`The first failure: ${error}`)
      if (latencies.length + failures === plan.length) resume(Effect.sync(score))
    }
    let next = 0
    const step = () => {
      const now = performance.now() - begin
      for (; plan[next] <= now; next++) {
        late[next] = now - plan[next]
        send(done(plan[next]))
      }
      if (next < plan.length) setTimeout(step, plan[next] - (performance.now() - begin))
    }
    step()
  })
