/** Many fibers that do one operation after the other, and what interrupts them. */
import { Effect, Fiber, FiberId, Option } from "effect"
import { Chance } from "./chance.js"
import type { Beats, Moment } from "./moment.js"
import { at } from "./moment.js"
import { Operation } from "./witness.js"
import type { Witness } from "./witness.js"

/** One turn of a fiber: an operation, and when it is interrupted, if it still runs then. */
export interface Turn {
  readonly name: string
  readonly make: (operation: Operation) => Effect.Effect<unknown, unknown>
  readonly interruptAt: Moment | { readonly beats: number } | undefined
}

export interface Crowd {
  readonly witness: Witness
  readonly beats: Beats
  readonly seed: number
  readonly fibers: number
  readonly turn: (chance: Chance) => Turn
  readonly isOver: () => boolean
  /** Called after each operation. */
  readonly look: () => void
  /** How long an operation may take that nobody interrupts, and then how long its end, before it is left behind. */
  readonly patience: number
}

export const run = (crowd: Crowd): Effect.Effect<void> => {
  const chance = new Chance(crowd.seed)
  const chances = Array.from({ length: crowd.fibers }, () => chance.fork())
  return Effect.forEach(chances, (chance) => loop(crowd, chance), { concurrency: "unbounded", discard: true })
}

const loop = (crowd: Crowd, chance: Chance): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (!crowd.isOver()) {
      yield* play(crowd, crowd.turn(chance), chance.fork())
      crowd.look()
    }
  })

const play = (
  { beats, patience, witness }: Crowd,
  { interruptAt, make, name }: Turn,
  chance: Chance
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const operation = new Operation(witness, name, chance)
    witness.operations++
    // By itself: the storm must go on even where this one can't be ended.
    const fiber = yield* Effect.forkDaemon(make(operation))
    const time = { interrupted: NaN, ended: NaN }
    fiber.addObserver(() => {
      time.ended = performance.now()
      beats.beat()
    })
    const interrupt = () => {
      if (operation.isInterrupted || fiber.unsafePoll() !== null) return
      operation.isInterrupted = true
      witness.interrupts++
      time.interrupted = performance.now()
      fiber.unsafeInterruptAsFork(FiberId.none)
    }
    const callOff = interruptAt === undefined
      ? () => {}
      : "beats" in interruptAt
      ? beats.after(interruptAt.beats, interrupt)
      : at(interruptAt, interrupt)
    const end = Effect.timeoutOption(Fiber.await(fiber), patience)
    let exit = yield* end
    callOff()
    if (Option.isNone(exit)) {
      if (!operation.isInterrupted) witness.fault(`${name} did not end by itself`)
      interrupt()
      exit = yield* end
    }
    if (operation.isInterrupted) {
      witness.interrupted(operation, (Option.isSome(exit) ? time.ended : performance.now()) - time.interrupted)
    }
    if (Option.isSome(exit)) return witness.ended(operation, exit.value)
    witness.stuck++
    witness.fault(`${name} could not be interrupted`)
  })
