/** @internal */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Tracer from "effect/Tracer"
import type { SpanFrame } from "../PoolHolder.js"
import { oneLine, readOr } from "./words.js"

/** Effect's own, which is in force where the program has set none. */
const ownTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * Whether anybody can see the spans that a fiber begins beside its own effects. Effect's own tracer shows none to anybody,
 * and to make one takes longer than the rest of a short statement's way through the pool.
 *
 * @internal
 */
export const isTraced = ({ currentTracer }: Fiber.RuntimeFiber<any, any>): boolean => currentTracer !== ownTracer

/** Fails with nothing to say, so that only the spans are left of what is printed. */
const nothing = Effect.fail(Object.assign(new Error(""), { stack: "" }))

const runSyncExit = Runtime.runSyncExit(Runtime.defaultRuntime)

/**
 * A span and those around it, the innermost first, with the places where the program began them. Names cost next to
 * nothing. Places are looked up when the first one is read: Effect knows them and shows them only where it prints a
 * failure, so a failure is printed.
 *
 * @internal
 */
export const framesOf = (innermost: Tracer.AnySpan | undefined): ReadonlyArray<SpanFrame> => {
  const names = innermost === undefined ? [] : readOr(() => namesOf(innermost), [])
  return names.map((name, n) => ({
    name: oneLine(name),
    get location() {
      return knownPlacesOf(innermost!, names)[n]
    }
  }))
}

/** A span stays where it was begun: who looks at the same holder each second looks its places up once. */
const known = new WeakMap<Tracer.AnySpan, ReadonlyArray<string | undefined>>()

const knownPlacesOf = (innermost: Tracer.AnySpan, names: ReadonlyArray<string>): ReadonlyArray<string | undefined> => {
  const before = known.get(innermost)
  if (before !== undefined) return before
  const places = readOr(() => placesOf(innermost, names), [])
  known.set(innermost, places)
  return places
}

const namesOf = (innermost: Tracer.AnySpan): ReadonlyArray<string> => {
  const found: Array<string> = []
  let span: Tracer.AnySpan | undefined = innermost
  while (span?._tag === "Span" && found.length < mostSpans) {
    found.push(String(span.name))
    span = Option.getOrUndefined(span.parent)
  }
  return found
}

const placesOf = (innermost: Tracer.AnySpan, names: ReadonlyArray<string>): ReadonlyArray<string | undefined> => {
  const exit = runSyncExit(Effect.withParentSpan(nothing, innermost))
  const printed = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
  let at = 0
  return names.map((name) => {
    // A name may have any characters, also those that end a line.
    const line = `    at ${name}`
    const found = printed.indexOf(line, at)
    if (found < 0) return undefined
    at = found + line.length
    const place = /^ \(([^()]*:\d+:\d+)\)$/.exec(printed.slice(at).split("\n", 1)[0])
    return place === null ? undefined : short(place[1])
  })
}

const mostSpans = 10

const short = (location: string): string => {
  const path = location.replace(/^file:\/\//, "")
  const folder = `${process.cwd()}/`
  return path.startsWith(folder) ? path.slice(folder.length) : path
}
