/** What callers are to get, in words: `p99-wait=50ms,refused=0.1%`. */
import * as Either from "effect/Either"
import type { Outcome } from "../model.js"
import { shown } from "./shown.js"
import type { Read } from "./units.js"
import { duration, share } from "./units.js"

const waits = {
  "mean-wait": ({ wait }: Outcome) => wait.mean,
  "p50-wait": ({ wait }: Outcome) => wait.p50,
  "p99-wait": ({ wait }: Outcome) => wait.p99,
  "p99.9-wait": ({ wait }: Outcome) => wait.p999,
  "max-wait": ({ wait }: Outcome) => wait.max
}

type Wait = keyof typeof waits

export interface Target {
  /** The most milliseconds for each. */
  readonly waits: ReadonlyArray<readonly [name: Wait, most: number]>
  /** The most callers that get no connection, as a part of 1. */
  readonly refused: number
}

/** A pool that refuses those who would have waited must not look better for it. */
const refusedByDefault = 0.001

const names = [...Object.keys(waits), "refused"]

export const target = (text: string): Read<Target> =>
  Either.flatMap(Either.all(text.split(",").map(bound)), (bounds) => {
    const twice = bounds.find(({ name }, i) => bounds.findIndex((bound) => bound.name === name) < i)
    if (twice !== undefined) return Either.left(`${twice.name} is given twice`)
    const waits = bounds.flatMap((bound) => bound.name === "refused" ? [] : [[bound.name, bound.most] as const])
    return waits.length === 0
      ? Either.left("a target has a wait, such as p99-wait=50ms")
      : Either.right({ waits, refused: bounds.find(({ name }) => name === "refused")?.most ?? refusedByDefault })
  })

const bound = (text: string): Read<{ readonly name: Wait | "refused"; readonly most: number }> => {
  const [name, value, ...rest] = text.split("=").map((part) => part.trim())
  if (value === undefined || rest.length > 0) {
    return Either.left(`${shown(text)} is no target: write one such as p99-wait=50ms`)
  }
  if (name === "refused") return Either.map(share(value), (most) => ({ name, most }))
  return Object.hasOwn(waits, name)
    ? Either.map(duration(value), (most) => ({ name: name as Wait, most }))
    : Either.left(`${shown(name)} is nothing that a target can be for: there are ${names.join(", ")}`)
}

/** The greatest of its bounds' quotients: at most 1 where the target is met. */
export const stress = (target: Target, outcome: Outcome): number =>
  Math.max(
    outcome.refused / Math.max(1, outcome.requests) / Math.max(target.refused, Number.MIN_VALUE),
    ...target.waits.map(([name, most]) => waits[name](outcome) / Math.max(most, Number.MIN_VALUE))
  )

export const meets = (target: Target, outcome: Outcome): boolean =>
  outcome.queueGrowth === 0 && stress(target, outcome) <= 1
