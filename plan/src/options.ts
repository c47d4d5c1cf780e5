/** The command line's options. A text that can't be read is refused with the name of its option. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { patternOf, presets } from "./input/log.js"
import { hold } from "./words/hold.js"
import { outages } from "./words/outage.js"
import { shown } from "./words/shown.js"
import { target } from "./words/target.js"
import type { Read } from "./words/units.js"
import { count, counts, duration, life, limit, rate, seed, share, waits } from "./words/units.js"

export const formats = ["text", "json", "html", "svg"] as const

const option = <A>(name: string, pseudoName: string, description: string, read: (text: string) => Read<A>) =>
  Options.text(name).pipe(
    Options.withPseudoName(pseudoName),
    Options.withDescription(description),
    Options.mapEffect((text) =>
      Either.mapLeft(read(text), (why) => ValidationError.invalidValue(HelpDoc.p(`--${name}: ${why}`)))
    ),
    Options.optional,
    Options.map(Option.getOrUndefined)
  )

const oneOf = <A extends string>(allowed: ReadonlyArray<A>) => (text: string): Read<A> => {
  const found = allowed.find((value) => value === text)
  return found === undefined ? Either.left(`${shown(text)} is none of ${allowed.join(", ")}`) : Either.right(found)
}

/** The pool's own `connectTimeout`, in milliseconds. */
const connectTimeout = 5000

const connect = (text: string): Read<number> =>
  Either.flatMap(duration(text), (millis) =>
    millis < connectTimeout
      ? Either.right(millis)
      : Either.left(
        `the pool gives up a connect after 5 s (its connectTimeout), so none would succeed: write a shorter time`
      ))

const file = (text: string): Read<string> => text === "" ? Either.left("it is empty") : Either.right(text)

/** Each name begins with a letter and has hyphens, as on the command line. */
export const options = {
  "rate": option(
    "rate",
    "400/s",
    "The load: how often requests come, independently of each other.",
    (text) => Either.map(rate(text), (perSecond) => ({ perSecond, text }))
  ),
  "hold": option(
    "hold",
    "p50=4ms,p99=80ms",
    "How long a request holds its connection: quantiles, a time that is the same for all (5ms), or mean=5ms, " +
      "exponentially distributed. Beside a file it is taken instead of what the file says.",
    (text) => Either.map(hold(text), (hold) => ({ hold, text }))
  ),
  "length": option("length", "10min", "With --rate: how long the load lasts. Default: 10min.", duration),
  "arrivals": option(
    "arrivals",
    "FILE",
    "Or the load of a CSV file: its columns are time, and hold if it is known.",
    file
  ),
  "log": option("log", "FILE", "Or that of a log, with --pattern.", file),
  "pattern": option(
    "pattern",
    "NAME|REGEX",
    `How the lines of --log look: ${Object.keys(presets).join(", ")}, or a regular expression with groups such as ` +
      "(?<time>...) and (?<hold_ms>...). Default: combined.",
    patternOf
  ),
  "recording": option("recording", "FILE", "Or that of a pool, as PoolRecording has written it.", file),
  "connect": option("connect", "20ms", "How long a connect takes. Default: 20ms.", connect),
  "server-cores": option(
    "server-cores",
    "8",
    "The cores of the server, which its statements share. Without it the server is never slow.",
    count
  ),
  "server-part": option(
    "server-part",
    "60%",
    "Which part of a hold keeps a core of the server busy. In the rest of it the server waits: for its disk, a lock, the " +
      "program. Default: 100%.",
    share
  ),
  "max-connections": option("max-connections", "100", "The limit of the server.", count),
  "instances": option(
    "instances",
    "6",
    "How many processes have such a pool, and such a load each. Default: 1.",
    count
  ),
  "outage": option(
    "outage",
    "5s@12:00",
    "The database is away: for how long, and from when (UTC, or 90s after the beginning).",
    outages
  ),
  "target": option(
    "target",
    "p99-wait=50ms",
    "What callers are to get: p50-wait, p99-wait, p99.9-wait, mean-wait, max-wait, refused. Default: " +
      "p99-wait=50ms,refused=0.1%.",
    target
  ),
  "maxsize": option("maxsize", "2,4..8", "Candidates. Default: a few around what the load needs.", counts),
  "maxwait": option("maxwait", "auto,200ms", "Candidates. Default: auto,200ms.", waits),
  "maxoverflow": option("maxoverflow", "10,20", "Candidates. Default: a few from what the load needs upwards.", counts),
  "acquire-timeout": option(
    "acquire-timeout",
    "30s",
    "Of the pool: how long a caller waits at most. Default: 30s.",
    limit
  ),
  "when-full": option(
    "when-full",
    "wait|fail",
    "Of the pool: what callers do at maxoverflow.",
    oneOf(["wait", "fail"] as const)
  ),
  "expires": option("expires", "10min", "Of the pool: how long a connection lives.", life),
  "seed": option("seed", "1", "The same seed gives the same result. Default: 1.", seed),
  "format": option("format", "text", `${formats.join(", ")}. Default: text.`, oneOf(formats)),
  "rollout": Options.boolean("rollout").pipe(
    Options.withDescription("Old and new instances run at once while a new version is rolled out.")
  )
}
