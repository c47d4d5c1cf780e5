/** A bar on the terminal while candidates are played. Nothing where no person looks. */
import * as Effect from "effect/Effect"

export interface Screen {
  readonly write: (text: string) => unknown
}

/** Where a person looks, if one does. */
export const screen = (): Screen | undefined =>
  process.stderr.isTTY && process.env.CI === undefined ? process.stderr : undefined

const width = 30

/** Goes back to the beginning of the line, and clears it. */
const clear = "\r\u001b[2K"

const bar = (done: number): string => {
  const full = Math.round(width * done)
  return `${clear}[${"#".repeat(full)}${" ".repeat(width - full)}] ${Math.floor(100 * done)} %`
}

/** Gives `use` what is to be called with the part that is done, from 0 to 1. */
export const withProgress = <A, E, R>(
  screen: Screen | undefined,
  use: (onProgress: (done: number) => void) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (screen === undefined) return use(() => {})
  let shown = ""
  const show = (done: number) => {
    const next = bar(done)
    if (next !== shown) screen.write(next)
    shown = next
  }
  return Effect.ensuring(
    Effect.suspend(() => {
      show(0)
      return use(show)
    }),
    Effect.sync(() => screen.write(clear))
  )
}
