/** What is told of a day: a table, and how it was played. */
import { table } from "../report.js"
import { phasesOf, slowness } from "./play.js"
import type { Outcome, Played } from "./stage.js"
import { connect, service } from "./stage.js"

const columns = ["", "failures", "p50 ms", "p99", "p99.9", "connections", "peak", "connects", "CPU s", "late ms"]

const figure = (value: number): string => value === Infinity ? "∞" : value.toFixed(1)

const row = (
  { connects, cpu, failures, late, mean, name, p50, p99, p999, peak, requests }: Played
): ReadonlyArray<string> => [
  name,
  failures === 0 ? "0" : `${failures} (${(100 * failures / requests).toFixed(2)} %)`,
  ...[p50, p99, p999, mean].map(figure),
  String(peak),
  String(connects),
  figure(cpu / 1000),
  figure(late)
]

export const tableOf = (played: ReadonlyArray<Played>): string => table(columns, played.map(row))

/** `failed`: what is told of the time of a request that failed. */
export const notes = ({ delay, plan, statement }: Outcome, seconds: number, failed: string): string => {
  const phases = phasesOf(seconds).map(([length, perSecond]) => `${perSecond}/s for ${+length.toFixed(1)} s`)
  return [
    `Each contender plays the same ${plan.length.toLocaleString("en")} arrivals, in a process of its own. They are a`,
    `Poisson process: ${phases.join(", ")}. That is ${slowness} times slower than was planned, and so are service,`,
    "connects and the contenders' own timeouts, so that two cores, which the server shares with its clients, are not",
    "what callers wait for. The contenders begin one after the other, so that none has its burst in another's burst or peak.",
    `Each request is \`${statement}\`, which holds a connection for ${service} ms in all. Its time counts from its planned`,
    `arrival, though 99 of 100 were only made "late" ms after it, at most; ${failed}. Connections are those`,
    `in \`pg_stat_activity\`, every 100 ms. A connect takes about ${connect} ms: a proxy holds it up by`,
    `${delay.toFixed(1)} ms. (A server of the benchmark's own asks for one iteration of SCRAM at a login, and not for`,
    "4,096, with which both sides work for milliseconds on the processors that all share.) CPU is that of the",
    "contender's process."
  ].join(" ")
}
