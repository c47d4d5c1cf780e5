/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ListenEvent } from "../../../PgPool.js"
import { Incidents } from "../../pool/incidents.js"
import type { Runtime } from "../../pool/runtime.js"
import type { Settings } from "../../pool/settings.js"
import { within } from "../../time/deadline.js"
import type { Target } from "../config/target.js"
import { statementError } from "../errors/errors.js"
import type { Listener } from "./channels.js"
import { ListeningSession } from "./listeningSession.js"

/** LISTEN for a pool. */
interface Listen {
  readonly listen: (channel: string) => Stream.Stream<ListenEvent, SqlError>
  /** Ends all listeners and their session, for good. */
  readonly close: Effect.Effect<void>
}

const inTheLog = {
  fails: "LISTEN fails, and is tried again",
  stillFails: "LISTEN still fails",
  worksAgain: "LISTEN works again"
}

/**
 * LISTEN on a session of its own, beyond the pool's limits, opened with the first listener and closed after the last.
 * It reconnects by itself and listens again (R21).
 *
 * @internal
 */
export const makeListen = (
  target: Target,
  settings: Settings,
  { io, log }: Runtime,
  /** What listeners fail with when the pool closes. */
  poolClosed: () => SqlError
): Effect.Effect<Listen, never, Scope.Scope> =>
  Effect.gen(function*() {
    let isClosed = false
    let endSession = Effect.void
    const incidents = new Incidents(inTheLog, io, log)
    const open = Effect.gen(function*() {
      const session = new ListeningSession(target, settings, incidents)
      const fiber = yield* Effect.forkScoped(Effect.interruptible(session.run))
      const end = Effect.sync(() => session.channels.end(poolClosed()))
      yield* Effect.addFinalizer(() => end)
      endSession = Effect.zipRight(end, Fiber.interrupt(fiber))
      return session
    })
    const shared = yield* RcRef.make({ acquire: open })
    const close = Effect.suspend(() => {
      isClosed = true
      incidents.stop()
      return endSession
    })
    yield* Effect.addFinalizer(() => close)
    const sessionFor = (name: string) =>
      Effect.suspend(() => {
        const refusal = isClosed ? poolClosed() : badName(name)
        return refusal === undefined ? RcRef.get(shared) : Effect.fail(refusal)
      })
    /** Ends when the server listens, in the scope of one listener. */
    const subscribe = (session: ListeningSession, name: string, listener: Listener) =>
      Effect.acquireRelease(
        Effect.sync(() => session.channels.add(name, listener)),
        (channel) => Effect.sync(() => session.channels.remove(name, channel, listener))
      ).pipe(
        Effect.flatMap(({ ready }) =>
          within(Deferred.await(ready), {
            millis: settings.limits.outage.limitMillis,
            clock: target.clock,
            onTimeout: () => session.reason
          })
        )
      )
    return {
      listen: (name) =>
        Stream.unwrapScoped(
          Effect.map(
            sessionFor(name),
            (session) => Stream.asyncPush<ListenEvent, SqlError>((listener) => subscribe(session, name, listener))
          )
        ),
      close
    }
  })

/** The server cuts off a longer name, and tells its notifications under that other name. */
const longestName = 63

const badName = (name: string): SqlError | undefined =>
  typeof name === "string" && name !== "" && Buffer.byteLength(name) <= longestName
    ? undefined
    : statementError(
      new TypeError(`The name of a channel is a string of 1 to ${longestName} bytes, not ${JSON.stringify(name)}`)
    )
