/** @internal */
import * as Either from "effect/Either"
import type * as Api from "../../VirtualTime.js"
import { attempt, BadOption, fieldsOf, orThrow, wholeNumber } from "../decode.js"
import { VirtualLoop } from "./virtualLoop.js"
import { VirtualPool } from "./virtualPool.js"
import { runtimesOf } from "./virtualRuntime.js"

/** @internal */
export const virtualTime = (options?: { readonly seed?: number | undefined }): Api.VirtualTime => {
  const loop = new VirtualLoop()
  const runtimeOfPool = runtimesOf(loop, orThrow(attempt(() => seedOf(options))))
  return {
    get now() {
      return loop.now
    },
    after: (millis, task) => loop.schedule(notBefore("after", millis, 0), task),
    each: (items, task) => next(loop, items[Symbol.iterator](), task),
    runUntil: (millis) => loop.advanceTo(notBefore("runUntil", millis, loop.now)),
    pool: (options) => new VirtualPool(loop, runtimeOfPool(), options)
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
