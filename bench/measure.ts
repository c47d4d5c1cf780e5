/** Runs things in turn and takes their time. */
import { Console, Effect } from "effect"
import { median } from "simple-statistics"

/** What so many operations took together, in microseconds. */
export interface Lap {
  readonly wall: number
  /** The CPU time of the contender's process, all threads together. */
  readonly cpu: number
}

/** One of the things that are compared. */
export interface Contender {
  readonly name: string
  /** Does so many operations, a multiple of `unit`. */
  readonly lap: (operations: number) => Effect.Effect<Lap, unknown>
  /** Default: 1. */
  readonly unit?: number
}

/** What one operation took, in microseconds. */
export interface Figure {
  readonly name: string
  /** The median of the rounds. */
  readonly wall: number
  /** The median of the CPU time. */
  readonly cpu: number
  readonly rounds: ReadonlyArray<number>
  readonly cpuRounds: ReadonlyArray<number>
}

export interface Rounds {
  readonly rounds: number
  /** About how long each contender works in each round. */
  readonly seconds: number
  /** What each does before that: so many operations, if they take no longer than so. Default: as long as a round takes. */
  readonly warmUp?: { readonly operations: number; readonly seconds: number }
}

/**
 * A lap in this process. No garbage is collected on purpose: after a few collections V8 would forget the compiled code of
 * the contenders whose turn it is not.
 */
export const timed = (run: Effect.Effect<unknown, unknown>): Effect.Effect<Lap, unknown> =>
  Effect.suspend(() => {
    const cpu = process.cpuUsage()
    const started = process.hrtime.bigint()
    return Effect.map(run, () => {
      const wall = Number(process.hrtime.bigint() - started) / 1000
      const { system, user } = process.cpuUsage(cpu)
      return { wall, cpu: user + system }
    })
  })

/** How many operations take about `seconds`. To find that out warms up by the way. */
const calibrate = (
  contender: Contender,
  { seconds, warmUp = { operations: Infinity, seconds } }: Rounds
): Effect.Effect<number, unknown> =>
  Effect.gen(function*() {
    const unit = contender.unit ?? 1
    let operations = unit
    let { wall } = yield* contender.lap(operations)
    let sum = wall
    let done = operations
    while (wall < seconds * 1e6 / 2 || (sum < warmUp.seconds * 1e6 && done < warmUp.operations)) {
      // Not at one go: the first ones take many times as long as those that follow.
      if (wall < seconds * 1e6) operations *= Math.min(8, Math.max(2, Math.ceil(seconds * 1e6 / wall)))
      wall = (yield* contender.lap(operations)).wall
      sum += wall
      done += operations
    }
    return Math.max(1, Math.round(operations / unit * seconds * 1e6 / wall)) * unit
  })

/**
 * Runs the contenders in turn, round by round, so that a machine whose speed drifts drifts for all of them. Each round
 * begins with another one, for who follows whom matters: somebody's garbage may be collected in the time of the next. One
 * round before those that count warms up.
 */
export const compare = (
  title: string,
  contenders: ReadonlyArray<Contender>,
  rounds: Rounds
): Effect.Effect<ReadonlyArray<Figure>, unknown> =>
  Effect.gen(function*() {
    yield* Console.error(title)
    const operations = yield* Effect.forEach(contenders, (contender) => calibrate(contender, rounds))
    const laps = contenders.map((): Array<Lap> => [])
    for (let round = 0; round <= rounds.rounds; round++) {
      for (let turn = 0; turn < contenders.length; turn++) {
        const i = (turn + round) % contenders.length
        const { cpu, wall } = yield* contenders[i].lap(operations[i])
        if (round > 0) laps[i].push({ wall: wall / operations[i], cpu: cpu / operations[i] })
      }
    }
    return contenders.map(({ name }, i) =>
      figureOf(name, laps[i].map(({ wall }) => wall), laps[i].map(({ cpu }) => cpu))
    )
  })

const figureOf = (name: string, rounds: ReadonlyArray<number>, cpuRounds: ReadonlyArray<number>): Figure => ({
  name,
  wall: median([...rounds]),
  cpu: median([...cpuRounds]),
  rounds,
  cpuRounds
})

/** What was measured more than once, in order. */
export const joined = (figures: ReadonlyArray<Figure>): Figure =>
  figureOf(
    figures[0].name,
    figures.flatMap(({ rounds }) => rounds),
    figures.flatMap(({ cpuRounds }) => cpuRounds)
  )

/** The figure of that name. */
export const named = (figures: ReadonlyArray<Figure>, name: string): Figure => {
  const figure = figures.find((figure) => figure.name === name)
  if (figure === undefined) throw new Error(`nobody measured ${name}`)
  return figure
}

/** A median, and between what, nineteen times in twenty, that of more rounds would lie (if rounds had nothing in common). */
export interface Ratio {
  readonly median: number
  readonly from: number
  readonly to: number
}

/**
 * The median of the rounds' own ratios, of those that both took part in. What slows a machine down for some seconds slows a
 * whole round down, and is in both parts of its ratio. The interval is that of the sign test, by the normal distribution:
 * with five rounds it is all of them.
 */
const byRound = (over: ReadonlyArray<number>, under: ReadonlyArray<number>): Ratio => {
  const both = Math.min(over.length, under.length)
  const ratios = over.slice(0, both).map((value, round) => value / under[round]).sort((a, b) => a - b)
  const beyond = Math.max(0, Math.floor(both / 2 - 0.98 * Math.sqrt(both)))
  return { median: median(ratios), from: ratios[beyond], to: ratios[both - 1 - beyond] }
}

/** How many times as much as `figure` the other got done in the same time. */
export const times = (figure: Figure, other: Figure): Ratio => byRound(figure.rounds, other.rounds)

/** How many times as much CPU time as the other an operation of `figure` took. */
export const cpuTimes = (figure: Figure, other: Figure): Ratio => byRound(figure.cpuRounds, other.cpuRounds)
