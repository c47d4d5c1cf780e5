/** @internal */
import * as Predicate from "effect/Predicate"
import type { PoolEvent } from "../../PoolEvent.js"
import { summary } from "../../PoolHolder.js"
import { ConnectTimedOut } from "../pool/life.js"
import { NotKnown } from "../postgres/connect/activity.js"
import { codeOf, isFatal, isServerError, isSystemError } from "../postgres/errors/codes.js"
import { causes, isError, oneLine } from "../words.js"

/**
 * Why something has failed, as far as it can have no secret: what the server says to a login, a failed system call, a
 * time that has passed. Of every other error, such as one of the user's `onConnect`, only its code or name is told.
 *
 * @internal
 */
export const safeReason = (error: unknown): string => {
  const all = causes(error)
  for (const cause of all) {
    if (isServerError(cause)) return `${cause.code}${isFatal(cause) ? ` ${oneLine(`${cause.message}`)}` : ""}`
    if (isError(cause) && (isSystemError(cause) || isOurs(cause))) return oneLine(cause.message)
  }
  const deepest = all.at(-1)
  return `${codeOf(deepest) ?? nameOf(deepest)}: see the log`
}

const isOurs = (error: Error): boolean => error instanceof ConnectTimedOut || error instanceof NotKnown

const nameOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") ? String(error._tag) : isError(error) ? error.name : typeof error

/** An event in a line. `trouble`: somebody may have to do something. @internal */
export interface Line {
  readonly at: number
  readonly kind: PoolEvent["_tag"]
  readonly trouble: boolean
  readonly text: string
}

/** @internal */
export const lineOf = (event: PoolEvent): Line => ({
  at: event.at,
  kind: event._tag,
  trouble: troubles.has(event._tag),
  text: textOf(event)
})

const troubles: ReadonlySet<PoolEvent["_tag"]> = new Set([
  "ConnectFailed",
  "Exhausted",
  "Refused",
  "Leaked",
  "OutageBegan"
])

const textOf = (event: PoolEvent): string => {
  switch (event._tag) {
    case "Opening":
      return `#${event.connection} is being opened`
    case "Opened": {
      const server = event.processId === undefined ? "" : `, process ${event.processId} of the server`
      return `#${event.connection} open after ${time(event.took)}${server}`
    }
    case "ConnectFailed":
      return `#${event.connection} could not be opened (${event.kind}): ${safeReason(event.cause)}`
    case "Closed":
      return `#${event.connection} closed (${event.reason}) after ${time(event.age)} and ${uses(event.uses)}`
    case "Overflow":
      return `#${event.connection} goes beyond maxsize: ${event.size} connections now`
    case "Exhausted": {
      const held = summary(event.holders)
      return `a caller was refused after ${time(event.waited)} (${event.limit}): ${event.stats.busy} busy` +
        (held === "" ? "" : `: ${held}`)
    }
    case "Refused":
      return `a caller was refused at once (${event.reason})`
    case "Leaked":
      return `#${event.connection} is held for ${time(event.holder.heldFor)}: ${summary([event.holder])}`
    case "CameBack":
      return `#${event.connection} came back after ${time(event.holder.heldFor)}: ${summary([event.holder])}`
    case "OutageBegan":
      return `connects fail: ${safeReason(event.cause)}`
    case "OutageEnded":
      return `the outage is over after ${time(event.lasted)}`
    case "StateChanged":
      return `${event.from} → ${event.to}`
    case "Resized":
      return `maxsize ${event.maxsize}, maxoverflow ${event.maxoverflow}`
    case "Dropped":
      return `${event.count} events are not shown: there were too many`
  }
}

const uses = (count: number): string => count === 1 ? "1 use" : `${count} uses`

const time = (millis: number): string => {
  if (millis < 1000) return `${Math.round(millis)} ms`
  return millis < 100_000 ? `${(millis / 1000).toFixed(1)} s` : `${Math.round(millis / 60_000)} min`
}
