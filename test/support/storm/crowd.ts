/** Many fibers that do one operation after the other, and what interrupts them. */
import { Effect, Fiber, FiberId, Option } from "effect"
import type { Moment } from "./chance.js"
import { Chance, reach } from "./chance.js"
import { Operation } from "./witness.js"
import type { Witness } from "./witness.js"

/** One turn of a fiber: an operation, and when it is interrupted, if it still runs then. */
export interface Turn {
  readonly name: string
  readonly make: (operation: Operation) => Effect.Effect<unknown, unknown>
  readonly interruptAt: Moment | undefined
}

export interface Crowd {
  readonly witness: Witness
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

const play = ({ patience, witness }: Crowd, { interruptAt, make, name }: Turn, chance: Chance): Effect.Effect<void> =>
  Effect.gen(function*() {
    const operation = new Operation(witness, name, chance)
    witness.operations++
    // By itself: the storm must go on even where this one can't be ended.
    const fiber = yield* Effect.forkDaemon(make(operation))
    let endedAt = 0
    fiber.addObserver(() => {
      endedAt = performance.now()
    })
    const interrupt = Effect.gen(function*() {
      operation.isInterrupted = true
      witness.interrupts++
      const interruptedAt = performance.now()
      fiber.unsafeInterruptAsFork(FiberId.none)
      const exit = yield* Effect.timeoutOption(Fiber.await(fiber), patience)
      witness.interrupted(operation, (Option.isSome(exit) ? endedAt : performance.now()) - interruptedAt)
      return exit
    })
    const end = Effect.asSome(Fiber.await(fiber))
    let exit = yield* Effect.raceFirst(
      end,
      Effect.as(interruptAt === undefined ? Effect.sleep(patience) : reach(interruptAt), Option.none())
    )
    if (Option.isNone(exit)) {
      if (interruptAt === undefined) witness.fault(`${name} did not end by itself`)
      exit = yield* interrupt
    }
    if (Option.isSome(exit)) return witness.ended(operation, exit.value)
    witness.stuck++
    witness.fault(`${name} could not be interrupted`)
  })
