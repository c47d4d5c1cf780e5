/** A day of load in a minute or a few, on a real server: how long callers wait, and how many connections that takes. */
import { Console, Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as Proxy from "../src/internal/testing/proxy.js"
import * as Postgres from "../test/support/postgres.js"
import { svg } from "./day/chart.js"
import { adaptive, contenders, rival } from "./day/contenders.js"
import type { Score } from "./day/play.js"
import { phasesOf, planOf, slowness } from "./day/play.js"
import * as Player from "./day/player.js"
import type { Sample } from "./day/server.js"
import { connectTime, sample, sleepTime } from "./day/server.js"
import type { Goal, Section } from "./report.js"
import { atMost, table } from "./report.js"

export interface Options {
  /** How long the day is, for each contender. */
  readonly seconds: number
  /** Where the report will be. The chart stands beside it. */
  readonly out: string
  /** The server. Without it one is started. */
  readonly url?: string
}

export interface Played extends Score {
  readonly name: string
  readonly samples: ReadonlyArray<Sample>
  readonly mean: number
  readonly peak: number
  readonly connects: number
}

/** How long a request holds its connection, and what a connect takes. Milliseconds. */
const service = 5 * slowness
const connect = 20 * slowness

/**
 * Each contender begins that part of a day after the one before it: the bursts come one after the other, and in none of
 * them has another contender its peak, which ends a quarter of a day before the burst.
 */
const stagger = 24

const contend = (who: Player.Who, seconds: number, server: string, door: Proxy.Proxy): Effect.Effect<Played, unknown> =>
  Effect.gen(function*() {
    const name = who.contender
    yield* Console.error(`The day of ${name}`)
    const player = yield* Player.start(who)
    const before = door.accepted
    const sampled = yield* sample(server, who.applicationName)
    const score = yield* player.play(seconds)
    const samples = sampled.filter(({ at }) => at < seconds * 1000)
    const counts = samples.map(({ connections }) => connections)
    return { name, ...score, samples, mean: mean(samples), peak: Math.max(...counts), connects: door.accepted - before }
  }).pipe(Effect.scoped)

/** Each holds until the next: a busy server is late with some. */
const mean = (samples: ReadonlyArray<Sample>): number => {
  const last = samples[samples.length - 1]
  const area = samples.slice(1).reduce((sum, { at }, i) => sum + samples[i].connections * (at - samples[i].at), 0)
  return area / (last.at - samples[0].at)
}

const columns = ["", "failures", "p50 ms", "p99", "p99.9", "connections", "peak", "connects", "CPU s", "late ms"]

const row = (
  { connects, cpu, failures, late, mean, name, p50, p99, p999, peak, requests }: Played
): ReadonlyArray<string> => [
  name,
  failures === 0 ? "0" : `${failures} (${(100 * failures / requests).toFixed(2)} %)`,
  ...[p50, p99, p999, mean].map((figure) => figure.toFixed(1)),
  String(peak),
  String(connects),
  (cpu / 1000).toFixed(1),
  late.toFixed(1)
]

const goals = (played: ReadonlyArray<Played>): ReadonlyArray<Goal> => {
  const [ours, other] = [adaptive, rival].map((wanted) => played.find(({ name }) => name === wanted)!)
  return [
    atMost(`day, ${adaptive}: failures`, ours.failures, 0),
    atMost(`day, ${adaptive}: p99 beside ${rival}`, ours.p99 / other.p99, 1.1),
    atMost(`day, ${adaptive}: mean connections beside ${rival}`, ours.mean / other.mean, 0.5)
  ]
}

const notes = ({ delay, plan, seconds, statement }: {
  readonly delay: number
  readonly plan: ReadonlyArray<number>
  readonly seconds: number
  readonly statement: string
}): string => {
  const phases = phasesOf(seconds).map(([length, perSecond]) => `${perSecond}/s for ${+length.toFixed(1)} s`)
  return [
    `Each contender plays the same ${plan.length.toLocaleString("en")} arrivals, in a process of its own. They are a`,
    `Poisson process: ${phases.join(", ")}. That is ${slowness} times slower than was planned, and so are service,`,
    "connects and the contenders' own timeouts, so that two cores, which the server shares with its clients, are not",
    "what callers wait for. The contenders begin one after the other, so that none has its burst in another's burst or peak.",
    `Each request is \`${statement}\`, which holds a connection for ${service} ms in all. Its time counts from its planned`,
    "arrival, though 99 of 100 were only made \"late\" ms after it, at most; what failed has no time. Connections are those",
    `in \`pg_stat_activity\`, every 100 ms. A connect takes about ${connect} ms: a proxy holds it up by`,
    `${delay.toFixed(1)} ms. (A server of the benchmark's own asks for one iteration of SCRAM at a login, and not for`,
    "4,096, with which both sides work for milliseconds on the processors that all share.) CPU is that of the",
    "contender's process."
  ].join(" ")
}

/** `pg-pool`, `@effect/sql-pg` and pools of ours play the same day. */
export const day = ({ out, seconds, url }: Options): Effect.Effect<ReadonlyArray<Section>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const names = Object.keys(contenders)
    const server = url ?? (yield* Postgres.start({ parameters: { max_connections: "200" } })).url
    const doors = yield* Effect.all(names.map(() => Proxy.start(Redacted.make(server))))
    const address = Redacted.value(doors[0].url)
    const delay = Math.max(0, connect - (yield* connectTime(address)))
    for (const door of doors) door.connectDelay = delay
    // Less than that, by what comes on top of the sleep itself.
    const sleep = 2 * service - (yield* sleepTime(address, service))
    const statement = `select pg_sleep(${(sleep / 1000).toFixed(4)})`
    const plan = planOf({ seconds })
    const played = yield* Effect.forEach(
      names,
      (contender, i) =>
        contend(
          {
            contender,
            statement,
            url: Redacted.value(doors[i].url),
            applicationName: `day ${process.pid} ${i}`
          },
          seconds,
          server,
          doors[i]
        ).pipe(Effect.delay(`${i * seconds / stagger} seconds`)),
      { concurrency: "unbounded" }
    )
    const chart = "day.svg"
    yield* Effect.promise(() => writeFile(join(dirname(out), chart), svg(plan, played)))
    return [{
      title: `A day in ${seconds} seconds`,
      command: `npm run bench -- day --seconds ${seconds}`,
      markdown: [
        table(columns, played.map(row)),
        `![The load, and connections held](${chart})`,
        notes({ delay, plan, seconds, statement })
      ]
        .join("\n\n"),
      goals: goals(played)
    }]
  })
