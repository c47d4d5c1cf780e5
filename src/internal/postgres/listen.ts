/** @internal */
import { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Pg from "pg"
import { leaveAfter } from "../pool/deadlines.js"
import type { Target } from "./config.js"
import { connectInTime } from "./connect.js"
import type { Session } from "./session.js"
import { realClock } from "./session.js"

interface Listening {
  readonly session: Session
  readonly lost: Deferred.Deferred<never, SqlError>
  /** One at a time on the session. */
  readonly turn: Effect.Semaphore
  readonly listeners: Map<string, Set<(payload: string) => void>>
  readonly cleanupTimeout: number
}

/**
 * LISTEN on a session of its own, beyond the pool's limits, opened with the first listener and closed after the last
 * (R21).
 *
 * @internal
 */
export const makeListen = (
  target: Target
): Effect.Effect<(channel: string) => Stream.Stream<string, SqlError>, never, Scope.Scope> =>
  Effect.map(
    RcRef.make({ acquire: open(target) }),
    (shared) => (channel) =>
      Stream.unwrapScoped(Effect.map(RcRef.get(shared), (listening) =>
        Stream.interruptWhenDeferred(
          Stream.asyncPush<string, SqlError>((emit) =>
            subscribe(listening, channel, (payload) => emit.single(payload))
          ),
          listening.lost
        )))
  )

const open = (target: Target): Effect.Effect<Listening, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const lost = yield* Deferred.make<never, SqlError>()
    const session = yield* connectInTime(target, () => Deferred.unsafeDone(lost, Effect.fail(listenerLost())))
    const listeners: Listening["listeners"] = new Map()
    session.client.on("notification", ({ channel, payload }) => {
      for (const listener of listeners.get(channel) ?? []) listener(payload ?? "")
    })
    return { session, lost, listeners, turn: Effect.unsafeMakeSemaphore(1), cleanupTimeout: target.cleanupTimeout }
  })

/** A channel is left only when its last listener goes: channels and listeners don't disturb each other. */
const subscribe = (
  { cleanupTimeout, listeners, session, turn }: Listening,
  channel: string,
  listener: (payload: string) => void
): Effect.Effect<void, SqlError, Scope.Scope> => {
  const name = Pg.escapeIdentifier(channel)
  const add = Effect.suspend(() => {
    const others = listeners.get(channel)
    if (others !== undefined) return Effect.sync(() => others.add(listener))
    listeners.set(channel, new Set([listener]))
    return Effect.tapError(session.query(`LISTEN ${name}`, "leave"), () => Effect.sync(() => listeners.delete(channel)))
  })
  const remove = Effect.suspend(() => {
    const all = listeners.get(channel)
    all?.delete(listener)
    if (all?.size !== 0) return Effect.void
    listeners.delete(channel)
    return Effect.ignore(session.query(`UNLISTEN ${name}`, "leave"))
  })
  // A socket that says nothing must hold up neither the listener nor its end.
  const inTurn = (effect: Effect.Effect<unknown, SqlError>) =>
    Effect.flatMap(leaveAfter(turn.withPermits(1)(effect), cleanupTimeout, realClock), (exit) => {
      if (Option.isSome(exit)) return Effect.asVoid(exit.value)
      session.destroy()
      return Effect.fail(listenerLost())
    })
  return Effect.acquireRelease(inTurn(add), () => Effect.ignore(inTurn(remove)))
}

const listenerLost = () =>
  new SqlError({ cause: new Error("The connection was lost"), message: "Notifications may have been missed" })
