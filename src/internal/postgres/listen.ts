/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as RcRef from "effect/RcRef"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as StreamEmit from "effect/StreamEmit"
import * as Pg from "pg"
import { NotSent } from "../../PgError.js"
import type { ListenEvent } from "../../PgPool.js"
import { Incidents } from "../pool/incidents.js"
import type { Runtime } from "../pool/runtime.js"
import type { Settings } from "../pool/settings.js"
import { leaveAfter, within } from "../time/deadline.js"
import { ioClock } from "../time/ioClock.js"
import { wordsOf } from "../words.js"
import type { Target } from "./config/target.js"
import { connectInTime } from "./connect/connect.js"
import { ConnectFailed, sqlFailure } from "./errors/codes.js"
import { connectError, failure, statementError } from "./errors/errors.js"
import { isPermanent } from "./errors/permanent.js"
import { servingProcess, warning } from "./session/pooler.js"
import type { Session } from "./session/session.js"

type Listener = StreamEmit.EmitOpsPush<SqlError, ListenEvent>

interface Channel {
  readonly listeners: Set<Listener>
  /** Done when the server has first said that it listens. */
  readonly ready: Deferred.Deferred<void, SqlError>
  isReady: boolean
}

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

/** In milliseconds: how long nothing may be heard of the server before it is asked, as its silence would not be noticed otherwise. */
const heartbeat = 5000

/** Who reconnects after that long begins with the first delay of `connectRetry` again. */
const healthyAfter = "10 seconds"

/**
 * LISTEN on a session of its own, beyond the pool's limits, opened with the first listener and closed after the last.
 * It reconnects by itself and listens again; channels and listeners don't disturb each other (R21).
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
      const switchboard = new Switchboard(target, settings, incidents)
      const session = yield* Effect.forkScoped(Effect.interruptible(switchboard.run))
      const giveUp = Effect.sync(() => switchboard.giveUp(poolClosed()))
      yield* Effect.addFinalizer(() => giveUp)
      endSession = Effect.zipRight(giveUp, Fiber.interrupt(session))
      return switchboard
    })
    const shared = yield* RcRef.make({ acquire: open })
    const close = Effect.suspend(() => {
      isClosed = true
      incidents.stop()
      return endSession
    })
    yield* Effect.addFinalizer(() => close)
    const switchboardFor = (channel: string) =>
      Effect.suspend(() => {
        const refusal = isClosed ? poolClosed() : badName(channel)
        return refusal === undefined ? RcRef.get(shared) : Effect.fail(refusal)
      })
    return {
      listen: (channel) =>
        Stream.unwrapScoped(
          Effect.map(
            switchboardFor(channel),
            (switchboard) =>
              Stream.asyncPush<ListenEvent, SqlError>((listener) => switchboard.listen(channel, listener))
          )
        ),
      close
    }
  })

/**
 * Connects listeners to channels. What is wanted stands in `channels`; one fiber makes the session's LISTENs equal to
 * that, now and on each new session, so that nothing else ever waits for the server.
 */
class Switchboard {
  private readonly channels = new Map<string, Channel>()
  private wake = Deferred.unsafeMake<void>(FiberId.none)
  private lastFailure: SqlError | undefined = undefined
  /** Why no other session will be tried. */
  private final: SqlError | undefined = undefined
  private hasWarned = false
  /** Whether the last session has come to listen. */
  private hasListened = false

  constructor(
    private readonly target: Target,
    private readonly settings: Settings,
    private readonly incidents: Incidents
  ) {}

  /** Ends when the server listens, in the scope of one listener. */
  listen(name: string, listener: Listener): Effect.Effect<void, SqlError, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => this.add(name, listener)),
      (channel) => Effect.sync(() => this.remove(name, channel, listener))
    ).pipe(
      Effect.flatMap(({ ready }) =>
        within(Deferred.await(ready), {
          millis: this.settings.limits.outage.limitMillis,
          clock: this.target.clock,
          onTimeout: () => this.lastFailure ?? listenerLost()
        })
      )
    )
  }

  private add(name: string, listener: Listener): Channel {
    const channel = this.channels.get(name) ?? {
      listeners: new Set<Listener>(),
      ready: Deferred.unsafeMake<void, SqlError>(FiberId.none),
      isReady: false
    }
    channel.listeners.add(listener)
    this.channels.set(name, channel)
    if (this.final === undefined) this.ring()
    else this.fail(name, channel, this.final)
    return channel
  }

  private remove(name: string, channel: Channel, listener: Listener): void {
    channel.listeners.delete(listener)
    if (channel.listeners.size > 0 || this.channels.get(name) !== channel) return
    this.channels.delete(name)
    this.ring()
  }

  giveUp(error: SqlError): void {
    this.final = error
    for (const [name, channel] of this.channels) this.fail(name, channel, error)
  }

  private fail(name: string, channel: Channel, error: SqlError): void {
    this.channels.delete(name)
    Deferred.unsafeDone(channel.ready, Exit.fail(error))
    for (const listener of channel.listeners) listener.fail(error)
  }

  private ring(): void {
    Deferred.unsafeDone(this.wake, Exit.void)
  }

  /** One session after the other, until one fails for good. */
  readonly run: Effect.Effect<void> = Effect.suspend(() =>
    Effect.scoped(this.session).pipe(
      // A defect of the user's `onConnect`, say: who listens has to hear of it.
      Effect.catchAllCause((cause) => Effect.fail(failureOf(cause))),
      Effect.tapError((error) => Effect.sync(() => this.noteFailing(error))),
      Effect.retry({
        schedule: Schedule.resetAfter(this.settings.connectRetry, healthyAfter),
        while: (error) => !isFinal(error)
      }),
      Effect.withClock(ioClock),
      Effect.catchAll((error) => Effect.sync(() => this.giveUp(error)))
    )
  )

  private readonly session: Effect.Effect<never, SqlError, Scope.Scope> = Effect.suspend(() =>
    Effect.flatMap(connectInTime(this.target, () => this.ring()), (session) => {
      const listening = new Set<string>()
      session.client.on("notification", ({ channel: name, payload = "" }) => {
        const channel = this.channels.get(name)
        if (channel === undefined) return
        // It may come together with the answer to LISTEN, of which nobody has heard yet.
        this.hears(name, channel, listening)
        for (const listener of channel.listeners) listener.single({ _tag: "Notification", payload })
      })
      return this.serve(session, listening)
    })
  )

  /** `listening`: the names of the channels that the session listens to. */
  private serve(session: Session, listening: Set<string>): Effect.Effect<never, SqlError> {
    const self = this
    return Effect.gen(function*() {
      const process = yield* self.inTime(session, servingProcess(session))
      if (process !== session.processId) yield* self.warn
      while (true) {
        // Before it looks, so that nothing is missed that comes meanwhile.
        self.wake = Deferred.unsafeMake(FiberId.none)
        if (!session.isAlive) return yield* Effect.fail(listenerLost(session.loss))
        yield* self.update(session, listening)
        self.hasListened = true
        self.incidents.worked()
        const isQuiet = Effect.succeed(true)
        const wake = Effect.as(Deferred.await(self.wake), false)
        if (!(yield* within(wake, { millis: heartbeat, clock: ioClock, onTimeout: () => isQuiet }))) continue
        yield* self.command(session, session.ping)
        if ((yield* self.inTime(session, servingProcess(session))) !== process) return yield* notOurs
      }
    })
  }

  /** Makes what the session listens to what is wanted. */
  private update(session: Session, listening: Set<string>): Effect.Effect<void, SqlError> {
    const self = this
    return Effect.gen(function*() {
      for (const name of listening) {
        if (self.channels.has(name)) continue
        yield* self.command(session, session.query(`UNLISTEN ${Pg.escapeIdentifier(name)}`, "leave"))
        listening.delete(name)
      }
      for (const [name, channel] of self.channels) {
        if (!listening.has(name)) {
          const listen = session.query(`LISTEN ${Pg.escapeIdentifier(name)}`, "leave")
          const answer = yield* Effect.either(self.command(session, listen))
          if (Either.isLeft(answer)) {
            // What was listened to before, the server only refuses for now, as a standby that is about to be promoted.
            if (!session.isAlive || channel.isReady) return yield* answer
            self.fail(name, channel, answer.left)
            continue
          }
        }
        // Also where it came when the last listener of its name had gone, and UNLISTEN was not sent yet.
        self.hears(name, channel, listening)
      }
    })
  }

  private hears(name: string, channel: Channel, listening: Set<string>): void {
    if (channel.isReady && listening.has(name)) return
    // The first time there is nothing that it could have missed.
    if (channel.isReady) { for (const listener of channel.listeners) listener.single({ _tag: "Reconnected" }) }
    listening.add(name)
    channel.isReady = true
    Deferred.unsafeDone(channel.ready, Exit.void)
  }

  private command(session: Session, query: Effect.Effect<unknown, SqlError>): Effect.Effect<void, SqlError> {
    return Effect.asVoid(this.inTime(session, query))
  }

  /** A socket that says nothing for so long is given up. */
  private inTime<A>(session: Session, answer: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.flatMap(
      leaveAfter(answer, this.target.reach.cleanupTimeout, ioClock),
      (answer): Effect.Effect<A, SqlError> => {
        if (Option.isNone(answer)) session.destroy()
        // Whether it was still done does not matter: the next session is asked again.
        return Option.isSome(answer) && session.isAlive ? answer.value : Effect.fail(listenerLost(session.loss))
      }
    )
  }

  /** The pool may have no need of a connect, and then nobody else says it. */
  private noteFailing(error: SqlError): void {
    this.lastFailure = error
    // One that is lost is replaced, and nobody need know.
    const isReplaced = this.hasListened && error.cause instanceof NotSent
    this.hasListened = false
    if (isFinal(error) || isReplaced) return
    this.incidents.failed(error instanceof ConnectFailed ? error.message : wordsOf(error.cause))
  }

  private readonly warn = Effect.suspend(() => {
    if (this.hasWarned) return Effect.void
    this.hasWarned = true
    return warning("LISTEN")
  })
}

/** Notifications went to a session of the server that is somebody else's by now: so they would again. */
class SessionGivenAway extends Error {
  override readonly message = "A pooler has given the session that listens to somebody else: connect past it for LISTEN"
}

const notOurs = Effect.suspend(() => {
  const cause = new SessionGivenAway()
  return Effect.fail(sqlFailure({ cause, message: cause.message }))
})

/** Whether no other session is tried. All else may pass. */
const isFinal = (error: SqlError): boolean => isPermanent(error) || error.cause instanceof SessionGivenAway

const failureOf = (cause: Cause.Cause<SqlError>): SqlError =>
  Option.getOrElse(Cause.failureOption(cause), () => connectError(Cause.squash(cause)))

/** The server cuts off what is longer, and tells its notifications under that other name. */
const longestName = 63

const badName = (channel: string): SqlError | undefined =>
  typeof channel === "string" && channel !== "" && Buffer.byteLength(channel) <= longestName
    ? undefined
    : statementError(
      new TypeError(`The name of a channel is a string of 1 to ${longestName} bytes, not ${JSON.stringify(channel)}`)
    )

const listenerLost = (cause?: unknown) => failure("The connection that listens was lost", new NotSent({ cause }))
