/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Watched } from "../../Dashboard.js"
import type { PoolEvent } from "../../PoolEvent.js"
import { insideOf } from "../inside.js"
import type { Server, Since } from "./snapshot.js"
import { snapshot } from "./snapshot.js"
import { safeReason } from "./words.js"

/** How often the page is told what is new. */
const every = "1 second"

/** How often the server is asked what it does, and when it is tried again after it could not be asked. */
const askEvery = "2 seconds"
const askAgainAfter = "5 seconds"

/** How many events are kept between two snapshots. */
const mostEvents = 200

/**
 * What one browser is told of a pool: server-sent events, one `hello` and then a `snapshot` each second. All that it
 * takes ends with the stream: when the browser leaves, when the pool is closed, or when `isOver`.
 *
 * @internal
 */
export const live = (pool: Watched, isOver: () => boolean): Stream.Stream<Uint8Array> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const news = yield* listen(pool)
    const server = yield* askServer(pool)
    const next = Effect.suspend(() => snapshot(pool, server(), news()))
    const snapshots = Stream.unfoldEffect("begin" as "begin" | "go on" | "end", (state) => {
      if (state === "end" || isOver()) return Effect.succeedNone
      const pause = state === "begin" ? Effect.void : Effect.sleep(every)
      return Effect.map(
        Effect.zipRight(pause, next),
        (shot) => Option.some([message("snapshot", shot), shot.hasEnded ? "end" as const : "go on" as const] as const)
      )
    })
    return Stream.encodeText(Stream.concat(Stream.make(message("hello", hello(pool))), snapshots))
  }))

const message = (event: string, data: unknown): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

const hello = (pool: Watched) => ({ settings: insideOf(pool)?.settings() ?? [] })

/** Gives what has happened since it was asked last. Only what is given is put in words: most of a storm is not. */
const listen = (pool: Watched): Effect.Effect<() => Since, never, Scope.Scope> =>
  Effect.gen(function*() {
    let events: Array<PoolEvent> = []
    let left = 0
    let hasEnded = false
    const hear = Stream.runForEach(pool.events, (event) =>
      Effect.sync(() => {
        events.push(event)
        if (events.length <= mostEvents) return
        events.shift()
        left++
      }))
    yield* Effect.forkScoped(Effect.zipRight(
      hear,
      Effect.sync(() => {
        hasEnded = true
      })
    ))
    return () => {
      const since = { events: left === 0 ? events : [dropped(events[0].at, left), ...events], hasEnded }
      events = []
      left = 0
      return since
    }
  })

const dropped = (at: number, count: number) => ({ _tag: "Dropped", at, count }) as const

/** Gives what is known of the server's side. */
const askServer = (pool: Watched): Effect.Effect<() => Server, never, Scope.Scope> => {
  const server = insideOf(pool)?.server
  if (server === undefined) return Effect.succeed(() => ({ _tag: "None" }))
  let known: Server = { _tag: "Asking" }
  const note = (now: Server) =>
    Effect.sync(() => {
      known = now
    })
  const ask = Effect.flatMap(
    server,
    (backends) =>
      Effect.repeat(
        Effect.flatMap(backends, (backends) => note({ _tag: "Known", backends })),
        Schedule.spaced(askEvery)
      )
  )
  return Effect.scoped(ask).pipe(
    Effect.catchAllCause((cause) => note({ _tag: "Unknown", why: safeReason(Cause.squash(cause)) })),
    Effect.repeat(Schedule.spaced(askAgainAfter)),
    Effect.forkScoped,
    Effect.as(() => known)
  )
}
