/** @internal */
import * as Effect from "effect/Effect"
import { named } from "./words.js"

/**
 * A bare number below these is probably meant as seconds, as in other pools, and not as milliseconds. `maxwait` and
 * `validateAfterIdle` are missing, since any number of milliseconds makes sense there.
 */
const least = {
  acquireTimeout: 100,
  expires: 10_000,
  idleTimeout: 1000,
  connectTimeout: 100,
  outageTimeout: 100,
  cleanupTimeout: 20,
  closeTimeout: 50,
  suspendTimeout: 100,
  queryTimeout: 100,
  statementTimeout: 100,
  lockTimeout: 20,
  idleInTransactionTimeout: 100,
  leakThreshold: 100
} as const

/**
 * Warns, in one line, of all times that are probably mistakes. Zero has no unit, and a duration with a unit is no
 * mistake. `nameOf`: the name under which the user has set an option.
 *
 * @internal
 */
export const warnOfUnits = (
  pool: string,
  options: { readonly [K in keyof typeof least]?: unknown },
  nameOf: (option: string) => string = (option) => option
): Effect.Effect<void> => {
  const suspects = Object.entries(least).flatMap(([option, millis]) => {
    const value = options[option as keyof typeof least]
    return typeof value === "number" && value > 0 && value < millis ? [{ name: nameOf(option), value }] : []
  })
  if (suspects.length === 0) return Effect.void
  const times = suspects.map(({ name, value }) => `${name} is ${value} ms`).join(", ")
  const [{ value }] = suspects
  const line = `Is this meant? ${times}. A bare number is milliseconds: write "${value} seconds" if it is seconds, ` +
    `and "${value} millis" if it is meant.`
  return Effect.logWarning(named(pool, line))
}
