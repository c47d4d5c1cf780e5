/** One who listens to a pool from now on, until it is closed. */
import { Effect, Stream } from "effect"
import type { Fiber } from "effect"
import { pace } from "../../src/internal/watch/heard.js"
import { settle } from "./fakeResource.js"

export class Listening<Event extends object> {
  readonly heard: Array<Event> = []

  private constructor() {}

  fiber!: Fiber.RuntimeFiber<void>

  /** `each`: what it does with each one. */
  static to<Event extends object>(
    events: Stream.Stream<Event>,
    each: (event: Event) => Effect.Effect<unknown> = () => Effect.void
  ): Effect.Effect<Listening<Event>> {
    return Effect.gen(function*() {
      const listening = new Listening<Event>()
      const hear = (event: Event) => Effect.zipRight(Effect.sync(() => listening.heard.push(event)), each(event))
      listening.fiber = yield* Effect.forkDaemon(Stream.runForEach(events, hear))
      yield* settle
      return listening
    })
  }

  /** It has heard all that was told so far. One that was woken often is woken again a moment of real time later. */
  readonly hasCaughtUp: Effect.Effect<void> = Effect.zipRight(
    Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 2 * pace.millis))),
    settle
  )

  get hasEnded(): boolean {
    return this.fiber.unsafePoll() !== null
  }

  /** What it has heard since the last look: each in a line, without what is no plain value. */
  get lines(): ReadonlyArray<string> {
    return this.heard.splice(0).map(lineOf)
  }
}

const lineOf = (event: object): string => {
  const { _tag, at, ...fields } = event as { readonly _tag: string; readonly at: number }
  const texts = Object.entries(fields)
    .filter(([, value]) => typeof value === "number" || typeof value === "string")
    .map(([name, value]) => ` ${name}=${value}`)
  return `${at} ${_tag}${texts.join("")}`
}
