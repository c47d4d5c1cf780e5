/** Where contenders play the same day: one server, with a proxy and a process for each. */
import { Array as Arr, Console, Effect, Redacted } from "effect"
import type { Scope } from "effect"
import * as Proxy from "../../src/internal/testing/proxy.js"
import * as Postgres from "../../test/support/postgres.js"
import type { Score } from "./play.js"
import { planOf, slowness } from "./play.js"
import * as Player from "./player.js"
import type { Sample } from "./server.js"
import { connectTime, sample, sleepTime } from "./server.js"

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

export interface Outcome {
  readonly played: ReadonlyArray<Played>
  /** When requests were due, in milliseconds. */
  readonly plan: ReadonlyArray<number>
  /** What each request asked. */
  readonly statement: string
  /** By how many milliseconds a connect was held up. */
  readonly delay: number
}

/** How long a request holds its connection, and what a connect takes. Milliseconds. */
export const service = 5 * slowness
export const connect = 20 * slowness

/**
 * Each contender begins that part of a day after the one before it: the bursts come one after the other, and in none of
 * them has another contender its peak, which ends a quarter of a day before the burst. So for no more contenders.
 */
const stagger = 24
const most = 7

interface Contender {
  readonly who: Player.Who
  readonly player: Player.Player
  readonly door: Proxy.Proxy
}

const contend = (
  { door, player, who: { applicationName, contender: name } }: Contender,
  seconds: number,
  server: string
): Effect.Effect<Played, unknown> =>
  Effect.gen(function*() {
    yield* Console.error(`The day of ${name}`)
    const before = door.accepted
    const sampled = yield* sample(server, applicationName)
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

/** Those who play at once: groups that are about equally large, so that none has the machine more for itself. */
const groupsOf = (names: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  Arr.chunksOf(names, Math.ceil(names.length / Math.ceil(names.length / most)))

/** The day of the contenders that are named, with as many at once as don't disturb each other. */
export const playDay = (
  names: ReadonlyArray<string>,
  { seconds, url }: Options
): Effect.Effect<Outcome, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const server = url ?? (yield* Postgres.start({ parameters: { max_connections: "200" } })).url
    const open = Proxy.start(Redacted.make(server))
    const address = Redacted.value((yield* open).url)
    const delay = Math.max(0, connect - (yield* connectTime(address)))
    // Less than that, by what comes on top of the sleep itself.
    const sleep = 2 * service - (yield* sleepTime(address, service))
    const statement = `select pg_sleep(${(sleep / 1000).toFixed(4)})`
    const prepare = (contender: string) =>
      Effect.gen(function*() {
        const door = yield* open
        door.connectDelay = delay
        const applicationName = `day ${process.pid} ${names.indexOf(contender)}`
        const who = { contender, statement, url: Redacted.value(door.url), applicationName }
        return { who, door, player: yield* Player.start(who) }
      })
    // They begin when all are ready: a small pool takes longer to warm up, and would come into the next one's burst.
    const group = (members: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        const ready = yield* Effect.forEach(members, prepare, { concurrency: "unbounded" })
        const days = ready.map((one, i) =>
          Effect.delay(contend(one, seconds, server), `${i * seconds / stagger} seconds`)
        )
        return yield* Effect.all(days, { concurrency: "unbounded" })
      }).pipe(Effect.scoped)
    const played = yield* Effect.forEach(groupsOf(names), group)
    return { played: played.flat(), plan: planOf({ seconds }), statement, delay }
  })
