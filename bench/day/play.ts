/** How a day is played: what is asked when, and how long the answers take. */
import { Effect } from "effect"
import { dayOf } from "../simulate/loads.js"
import { arrivals, chance, constant, quantile } from "../simulate/world.js"
import type { Send } from "./contenders.js"

export interface Day {
  readonly seconds: number
  /** Times the rates of the day. */
  readonly scale: number
}

/** How it went. Times are in milliseconds. */
export interface Score {
  readonly requests: number
  readonly failures: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** How late 99 of 100 requests were made, at most. */
  readonly late: number
  /** CPU time of this process. */
  readonly cpu: number
}

/** When requests are due, in milliseconds: the same for all. */
export const planOf = ({ scale, seconds }: Day): ReadonlyArray<number> => {
  const phases = dayOf(seconds).map(([length, perSecond]) => [length, perSecond * scale] as const)
  return Array.from(arrivals({ phases, service: constant(0) }, chance(1)), ([at]) => at)
}

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
      const times = Float64Array.from(latencies).sort()
      const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => quantile(times, part))
      const requests = plan.length
      return { requests, failures, p50, p99, p999, late: quantile(late.sort(), 0.99), cpu: (user + system) / 1000 }
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
