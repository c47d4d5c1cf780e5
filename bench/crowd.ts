/** Loops so lean that they don't drown what goes on in them. */
import { Effect, Exit } from "effect"
import type { Contender } from "./measure.js"
import { timed } from "./measure.js"

const loop = (body: () => Effect.Effect<unknown, unknown>, times: number): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    let left = times
    return Effect.whileLoop({ while: () => left-- > 0, body, step: () => {} })
  })

/** So many fibers that begin together and share the operations. */
export const fibers = (
  name: string,
  count: number,
  body: () => Effect.Effect<unknown, unknown>
): Contender => ({
  name,
  unit: count,
  lap: (operations) => timed(count === 1 ? loop(body, operations) : together(count, loop(body, operations / count)))
})

/** So many fibers that begin together and do one operation each; again and again. */
export const generations = (
  name: string,
  count: number,
  body: Effect.Effect<unknown, unknown>
): Contender => ({
  name,
  unit: count,
  lap: (operations) => timed(loop(() => together(count, body), operations / count))
})

/** `Effect.forEach` would do, at several times the cost. */
const together = (count: number, effect: Effect.Effect<unknown, unknown>): Effect.Effect<void, unknown> =>
  Effect.async((resume) => {
    let left = count
    const ended = (exit: Exit.Exit<unknown, unknown>) => {
      if (Exit.isFailure(exit)) resume(exit)
      else if (--left === 0) resume(Effect.void)
    }
    for (let i = 0; i < count; i++) Effect.runFork(effect).addObserver(ended)
  })

/** The same with promises: `task` does so many operations, one after the other. */
export const promises = (
  name: string,
  count: number,
  task: (operations: number) => Promise<unknown>
): Contender => ({
  name,
  unit: count,
  lap: (operations) =>
    timed(Effect.tryPromise(() => Promise.all(Array.from({ length: count }, () => task(operations / count)))))
})
