/** From what was asked to what is answered: reads the load, plays the candidates, and chooses. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Asked, From } from "./asked.js"
import { candidatesOf } from "./candidates.js"
import { choose, closest, frontOf } from "./choice.js"
import type { Demand } from "./demand.js"
import { demandOf } from "./demand.js"
import type { Fleet, Overload } from "./fleet.js"
import { coresForOne, mostOverflow, overloadOf, reserved } from "./fleet.js"
import { readCsv } from "./input/csv.js"
import type { Input } from "./input/input.js"
import { readLog } from "./input/log.js"
import { readRecording } from "./input/recording.js"
import type { Source } from "./load.js"
import { loadOf } from "./load.js"
import type { Mistake } from "./mistake.js"
import { mistake } from "./mistake.js"
import type { Candidate, Outage, Outcome, Surroundings } from "./model.js"
import { counted, percent, time } from "./report/words.js"
import { withLongerHolds, withMoreRequests } from "./scale.js"
import { defaultAcquireTimeout, refusesInTime } from "./simulate.js"
import { placeOutage } from "./words/outage.js"
import { longest } from "./words/units.js"

/** Plays all candidates. `onProgress` is told the part that is done, from 0 to 1. */
export type PlayAll = (
  source: Source,
  candidates: ReadonlyArray<Candidate>,
  around: Surroundings,
  seed: number,
  onProgress: (done: number) => void
) => Effect.Effect<ReadonlyArray<Outcome>>

/** What becomes of a candidate if the load is another one. */
export interface Scenario {
  readonly name: string
  /** Or the server can't do it, whatever the pool does. */
  readonly result: Either.Either<Outcome, Overload>
}

export interface Plan {
  readonly asked: Asked
  readonly input: Input
  readonly demand: Demand
  readonly outages: ReadonlyArray<Outage>
  readonly outcomes: ReadonlyArray<Outcome>
  readonly front: ReadonlyArray<Outcome>
  readonly chosen: Outcome | undefined
  /** The chosen one, or that which comes closest. */
  readonly best: Outcome
  /** Of the best one. */
  readonly scenarios: ReadonlyArray<Scenario>
}

const changes: ReadonlyArray<readonly [name: string, change: (source: Source) => Source]> = [
  ["1.5 times the load", (source) => withMoreRequests(source, 1.5)],
  ["holds twice as long", (source) => withLongerHolds(source, 2)]
]

export const make = (
  asked: Asked,
  playAll: PlayAll,
  onProgress: (done: number) => void
): Effect.Effect<Plan, Mistake> =>
  Effect.gen(function*() {
    const input = yield* read(asked.from)
    if (loadOf(input.source).duration > longest && input.source._tag !== "Rate") {
      return yield* mistake(tooLong(input.source))
    }
    if (!hasRequests(input.source, asked.seed)) return yield* mistake(noRequest)
    const demand = demandOf(input.source)
    const overload = overloadOf(asked.fleet, demand)
    if (overload !== undefined) {
      return yield* mistake(tooMuch(overload, asked, refusesInTime(loadOf(input.source), asked)))
    }
    const outages = yield* placed(asked, input)
    const candidates = yield* candidatesFor(asked, demand, input.present)

    const steps = candidates.length + changes.length
    /** Plays a load after `before` candidates have been played. */
    const play = (source: Source, candidates: ReadonlyArray<Candidate>, before: number) =>
      playAll(
        source,
        candidates,
        aroundOf(asked, demandOf(source), outages),
        asked.seed,
        (done) => onProgress((before + done * candidates.length) / steps)
      )
    const outcomes = yield* play(input.source, candidates, 0)
    const chosen = choose(outcomes, asked.target, asked.fleet)
    const best = chosen ?? closest(outcomes, asked.target)
    const scenarios = yield* Effect.forEach(changes, ([name, change], i) => {
      const source = change(input.source)
      const overload = overloadOf(asked.fleet, demandOf(source))
      const result: Effect.Effect<Scenario["result"]> = overload === undefined
        ? Effect.map(play(source, [best.candidate], candidates.length + i), ([outcome]) => Either.right(outcome))
        : Effect.succeed(Either.left(overload))
      return Effect.map(result, (result) => ({ name, result }))
    })
    return { asked, input, demand, outages, outcomes, front: frontOf(outcomes), chosen, best, scenarios }
  })

const read = (from: From): Effect.Effect<Input, Mistake> => {
  switch (from._tag) {
    case "Rate": {
      const { hold, length, name, perSecond } = from
      const source = { _tag: "Rate", name, phases: [{ length, perSecond }], hold } as const
      return Effect.succeed({ source, began: undefined, notes: [] })
    }
    case "Csv":
      return readCsv(from.file, from.hold)
    case "Log":
      return readLog(from.file, from.pattern, from.hold)
    case "Recording":
      return readRecording(from.file, from.hold)
  }
}

/** A file of more than a year has times in another unit than it says. */
const tooLong = ({ duration, name }: Exclude<Source, { readonly _tag: "Rate" }>): string =>
  `${name} would be a load of ${
    counted(duration / longest, "year")
  }, and the longest is one year. Is the unit of its times or ` +
  "holds another one (time_s, time_ms, time_us, time_ns; hold_s, ...), or do some times count from 0 and others from 1970?"

/** Where requests come by chance, a short load may have none. */
const hasRequests = (source: Source, seed: number): boolean => {
  for (const _ of loadOf(source).arrivals(seed)) return true
  return false
}

const noRequest = "The load has no request: at this --rate none comes in its --length. Take a longer --length"

const placed = ({ outages }: Asked, { began, source }: Input) =>
  Effect.mapError(
    Effect.forEach(outages, (outage) => placeOutage(outage, began, loadOf(source).duration)),
    (why) => mistake(`--outage: ${why}`)
  )

const candidatesFor = ({ fleet, limits }: Asked, demand: Demand, present: Input["present"]) => {
  const most = mostOverflow(fleet)
  if (most < 1) return Effect.fail(mistake(noRoom(fleet)))
  const candidates = candidatesOf(limits, demand, { most, present })
  return candidates.length === 0
    ? Effect.fail(mistake(limits.maxoverflow === undefined ? tooLarge(fleet, most) : noOverflow))
    : Effect.succeed(candidates)
}

const noOverflow = "No --maxoverflow is as high as a --maxsize: maxoverflow is the limit of all connections"

const tooLarge = ({ maxConnections }: Fleet, most: number): string =>
  `No --maxsize fits: --max-connections ${maxConnections} leaves each process ${
    counted(most, "connection")
  }, a listener ` +
  "not counted"

const noRoom = ({ instances, maxConnections, rollout }: Fleet): string =>
  `${counted(instances, "instance")}${rollout ? ", twice as many during a roll-out," : ""} ${
    instances === 1 ? "does" : "do"
  } not fit into --max-connections ` +
  `${maxConnections}, of which ${reserved} are reserved, even with one connection and one listener each: use a pooler ` +
  "such as PgBouncer"

const tooMuch = ({ cores, growth, needed }: Overload, { options }: Asked, areRefused: boolean): string => {
  const effects = growth === 0
    ? "which is all that it has: nothing is left for a rush, and the queue only grows"
    : `and it has ${cores}, so ${
      areRefused
        ? `${refusedWhen(options)}at least ${percent(1 - cores / needed)} of the callers are refused`
        : `the queue grows for ever, by ${counted(Math.ceil(growth), "caller")} each second`
    }`
  return `No pool can serve this load: the statements need ${
    needed.toFixed(1)
  } cores of the server all the time, ${effects}. Make the statements shorter, or give the server more cores`
}

const refusedWhen = ({ acquireTimeout = defaultAcquireTimeout, whenFull }: Asked["options"]): string =>
  whenFull === "fail" || acquireTimeout === 0
    ? ""
    : `the queue grows until callers have waited ${time(acquireTimeout)}, and `

const aroundOf = (
  { connect, fleet, options }: Asked,
  demand: Demand,
  outages: ReadonlyArray<Outage>
): Surroundings => ({
  connect,
  serverCores: coresForOne(fleet, demand),
  serverPart: fleet.serverPart,
  outages,
  options
})
