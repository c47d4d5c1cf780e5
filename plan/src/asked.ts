/** What the user asks the planner. */
import type * as Command from "@effect/cli/Command"
import * as Either from "effect/Either"
import type { Limits } from "./candidates.js"
import type { Fleet } from "./fleet.js"
import type { Pattern } from "./input/log.js"
import { patternOf } from "./input/log.js"
import type { Hold } from "./load.js"
import type { Surroundings } from "./model.js"
import type { options } from "./options.js"
import type { PlannedOutage } from "./words/outage.js"
import type { Target } from "./words/target.js"
import { target } from "./words/target.js"
import type { Read } from "./words/units.js"

/** Where the load comes from. Without `hold` its file says how long requests hold a connection. */
export type From =
  | {
    readonly _tag: "Rate"
    readonly name: string
    readonly perSecond: number
    readonly length: number
    readonly hold: Hold
  }
  | { readonly _tag: "Csv" | "Recording"; readonly file: string; readonly hold: Hold | undefined }
  | { readonly _tag: "Log"; readonly file: string; readonly pattern: Pattern; readonly hold: Hold | undefined }

export interface Asked {
  readonly from: From
  /** Milliseconds. */
  readonly connect: number
  readonly fleet: Fleet
  readonly outages: ReadonlyArray<PlannedOutage>
  readonly options: Surroundings["options"]
  readonly target: Target
  readonly limits: Limits
  readonly seed: number
}

type Given = Command.Command.ParseConfig<typeof options>

export const askedOf = (given: Given): Read<Asked> =>
  Either.gen(function*() {
    const { connect = 20, instances = 1, maxoverflow, maxsize, maxwait, outage = [], rollout, seed = 1 } = given
    const { "acquire-timeout": acquireTimeout, expires, "when-full": whenFull } = given
    return {
      from: yield* fromOf(given),
      connect,
      fleet: {
        instances,
        rollout,
        maxConnections: given["max-connections"],
        serverCores: given["server-cores"],
        serverPart: given["server-part"] ?? 1
      },
      outages: outage,
      options: {
        ...acquireTimeout === undefined ? {} : { acquireTimeout },
        ...whenFull === undefined ? {} : { whenFull },
        ...expires === undefined ? {} : { expires }
      },
      target: given.target ?? (yield* target("p99-wait=50ms")),
      limits: { maxsize, maxwait, maxoverflow },
      seed
    }
  })

const loads = ["rate", "arrivals", "log", "recording"] as const

/** Options that say more about one kind of load. */
const details = { length: "rate", pattern: "log" } as const

const fromOf = (given: Given): Read<From> => {
  const [load, other] = loads.filter((name) => given[name] !== undefined)
  if (load === undefined) {
    return Either.left("Say what the load is: --rate with --hold, --arrivals, --log with --pattern, or --recording")
  }
  if (other !== undefined) return Either.left(`--${load} and --${other} are two loads: take one of them`)
  for (const [detail, its] of Object.entries(details)) {
    if (given[detail as keyof typeof details] !== undefined && load !== its) {
      return Either.left(`--${detail} goes with --${its}, and not with --${load}`)
    }
  }
  return read(given)
}

const read = ({ arrivals, hold, length = 600_000, log, pattern, rate, recording }: Given): Read<From> => {
  if (arrivals !== undefined) return Either.right({ _tag: "Csv", file: arrivals, hold: hold?.hold })
  if (recording !== undefined) return Either.right({ _tag: "Recording", file: recording, hold: hold?.hold })
  if (log !== undefined) {
    return Either.map(
      pattern === undefined ? patternOf("combined") : Either.right(pattern),
      (pattern) => ({ _tag: "Log", file: log, pattern, hold: hold?.hold })
    )
  }
  if (rate === undefined || hold === undefined) {
    return Either.left("--rate needs --hold: how long a request holds its connection, such as p50=4ms,p99=80ms")
  }
  if (length === 0) return Either.left("--length: a load of no length has no requests")
  const { perSecond, text } = rate
  return Either.right({ _tag: "Rate", name: `${text}, hold ${hold.text}`, perSecond, length, hold: hold.hold })
}
