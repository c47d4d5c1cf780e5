/** @internal */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import type * as Api from "../../VirtualTime.js"
import { attempt, BadOption, fieldsOf, orThrow, wholeNumber } from "../decode.js"
import { VirtualLoop } from "./virtualLoop.js"
import { VirtualPool } from "./virtualPool.js"

/** @internal */
export const virtualTime = (options?: { readonly seed?: number | undefined }): Api.VirtualTime => {
  const loop = new VirtualLoop()
  const runtime = runtimeOf(loop, orThrow(attempt(() => seedOf(options))))
  return {
    get now() {
      return loop.now
    },
    after: (millis, task) => loop.schedule(notBefore("after", millis, 0), task),
    each: (items, task) => next(loop, items[Symbol.iterator](), task),
    runUntil: (millis) => loop.advanceTo(notBefore("runUntil", millis, loop.now)),
    pool: (options) => new VirtualPool(loop, runtime, options)
  }
}

const seedOf = (options: { readonly seed?: number | undefined } | undefined): number => {
  const { seed } = fieldsOf("virtualTime", options)
  return seed === undefined ? 1 : wholeNumber("seed", seed, { min: 0 })
}

/** It is asked often: what is allowed must cost nothing. */
const notBefore = (option: string, millis: number, earliest: number): number =>
  millis >= earliest && millis < Infinity
    ? millis
    : orThrow(Either.left(new BadOption(option, millis, `a number of milliseconds, not less than ${earliest}`)))

const next = <A extends { readonly at: number }>(
  loop: VirtualLoop,
  items: Iterator<A>,
  task: (item: A) => void
): void => {
  const { done, value } = items.next()
  if (done === true) return
  loop.setTimer(notBefore("at", value.at, loop.now) - loop.now, () => {
    task(value)
    next(loop, items, task)
  })
}

/** What a pool logs is not of interest here: its statistics tell the same. */
const runtimeOf = (loop: VirtualLoop, seed: number): Runtime.Runtime<never> =>
  Runtime.runSync(Runtime.defaultRuntime)(
    Effect.runtime<never>().pipe(
      Effect.withScheduler(loop),
      Effect.withClock(loop.clock),
      Effect.withRandom(Random.make(seed)),
      Logger.withMinimumLogLevel(LogLevel.None)
    )
  )
