/** @internal */
import type * as Api from "../../VirtualTime.js"
import { attempt, fieldsOf, orThrow, wholeNumber } from "../decode.js"
import { millis } from "./millis.js"
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
    after: (time, task) => loop.schedule(millis("after", time), task),
    each: (items, task) => next(loop, items[Symbol.iterator](), task),
    runUntil: (time) => loop.advanceTo(millis("runUntil", time, loop.now)),
    pool: (options) => new VirtualPool(loop, runtimeOfPool(), options)
  }
}

const seedOf = (options: { readonly seed?: number | undefined } | undefined): number => {
  const { seed } = fieldsOf("virtualTime", options)
  return seed === undefined ? 1 : wholeNumber("seed", seed, { min: 0 })
}

const next = <A extends { readonly at: number }>(
  loop: VirtualLoop,
  items: Iterator<A>,
  task: (item: A) => void
): void => {
  const { done, value } = items.next()
  if (done === true) return
  loop.setTimerAt(millis("at", value.at, loop.now), () => {
    task(value)
    next(loop, items, task)
  })
}
