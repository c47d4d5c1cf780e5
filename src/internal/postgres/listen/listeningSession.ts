/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { NotSent } from "../../../PgError.js"
import type { Incidents } from "../../pool/incidents.js"
import type { Settings } from "../../pool/settings.js"
import { leaveAfter, within } from "../../time/deadline.js"
import { wordsOf } from "../../words.js"
import type { Target } from "../config/target.js"
import { connectInTime } from "../connect/connect.js"
import { escapeIdentifier } from "../driver/pg.js"
import { ConnectFailed, sqlFailure } from "../errors/codes.js"
import { connectError, failure } from "../errors/errors.js"
import { isPermanent } from "../errors/permanent.js"
import { servingProcess, warning } from "../session/pooler.js"
import type { Session } from "../session/session.js"
import { Channels } from "./channels.js"

/** In milliseconds: if the server has said nothing for so long it is asked, as its silence would not be noticed otherwise. */
const heartbeat = 5000

/** A session that has listened for so long makes `connectRetry` begin with its first delay again. */
const healthyAfter = "10 seconds"

/**
 * Keeps one session open that listens to what callers want. That stands in `channels`; one fiber makes the session's
 * LISTENs equal to it, now and on each new session, so that nothing else ever waits for the server.
 *
 * @internal
 */
export class ListeningSession {
  readonly channels = new Channels(() => this.ring())
  /** Done when the fiber has to look again at what is wanted, or at the session. */
  private bell = Deferred.unsafeMake<void>(FiberId.none)
  private lastFailure: SqlError | undefined = undefined
  private hasWarned = false
  /** Whether the last session has come to listen. */
  private hasListened = false

  constructor(
    private readonly target: Target,
    private readonly settings: Settings,
    private readonly incidents: Incidents
  ) {}

  private ring(): void {
    Deferred.unsafeDone(this.bell, Exit.void)
  }

  /** What a listener fails with whose first session does not open in time. */
  get reason(): SqlError {
    return this.lastFailure ?? listenerLost()
  }

  /** One session after the other, until one fails for good. */
  readonly run: Effect.Effect<void> = Effect.suspend(() =>
    Effect.scoped(this.session).pipe(
      // Listeners have to hear of a defect too, of the user's `onConnect` for instance.
      Effect.catchAllCause((cause) => Effect.fail(failureOf(cause))),
      Effect.tapError((error) => Effect.sync(() => this.noteFailing(error))),
      Effect.retry({
        schedule: Schedule.resetAfter(this.settings.connectRetry, healthyAfter),
        while: (error) => !isFinal(error)
      }),
      Effect.withClock(this.target.io.clock),
      Effect.catchAll((error) => Effect.sync(() => this.channels.end(error)))
    )
  )

  private readonly session: Effect.Effect<never, SqlError, Scope.Scope> = Effect.suspend(() =>
    Effect.flatMap(connectInTime(this.target, () => this.ring()), (session) => {
      const listening = new Set<string>()
      session.client.on("notification", ({ channel: name, payload = "" }) => {
        // It may come together with the answer to LISTEN, which the fiber has not seen yet.
        this.heard(name, listening)
        this.channels.get(name)?.tell({ _tag: "Notification", payload })
      })
      return this.serve(session, listening)
    })
  )

  /** `listening`: the names of the channels that the session listens to. */
  private serve(session: Session, listening: Set<string>): Effect.Effect<never, SqlError> {
    const self = this
    return Effect.gen(function*() {
      const process = yield* self.answer(session, servingProcess(session))
      if (process !== session.processId) yield* self.warn
      while (true) {
        // A new bell before it looks: what changes meanwhile rings it.
        self.bell = Deferred.unsafeMake(FiberId.none)
        if (!session.isAlive) return yield* Effect.fail(listenerLost(session.loss))
        yield* self.update(session, listening)
        self.hasListened = true
        self.incidents.worked()
        if (yield* self.hasRung) continue
        yield* self.answer(session, session.ping)
        if ((yield* self.answer(session, servingProcess(session))) !== process) return yield* notOurs
      }
    })
  }

  private readonly hasRung: Effect.Effect<boolean> = Effect.suspend(() =>
    within(Effect.as(Deferred.await(this.bell), true), {
      millis: heartbeat,
      clock: this.target.io.clock,
      onTimeout: () => Effect.succeed(false)
    })
  )

  /** Makes what the session listens to what is wanted. */
  private update(session: Session, listening: Set<string>): Effect.Effect<void, SqlError> {
    const self = this
    return Effect.gen(function*() {
      for (const name of listening) {
        if (self.channels.get(name) !== undefined) continue
        yield* self.answer(session, session.query(`UNLISTEN ${escapeIdentifier(name)}`, "leave"))
        listening.delete(name)
      }
      for (const [name, channel] of self.channels.all) {
        if (!listening.has(name)) {
          const listen = session.query(`LISTEN ${escapeIdentifier(name)}`, "leave")
          const answer = yield* Effect.either(self.answer(session, listen))
          if (Either.isLeft(answer)) {
            // If it has listened before, the server only refuses for now, as a standby that is about to be promoted does.
            if (!session.isAlive || channel.isReady) return yield* answer
            self.channels.fail(name, channel, answer.left)
            continue
          }
        }
        // Also for a channel that came when the last listener of its name had gone, and UNLISTEN was not sent yet.
        self.heard(name, listening)
      }
    })
  }

  private heard(name: string, listening: Set<string>): void {
    const isNew = !listening.has(name)
    // Also where its last listener has gone meanwhile: UNLISTEN is to follow.
    listening.add(name)
    const channel = this.channels.get(name)
    if (channel !== undefined && (isNew || !channel.isReady)) channel.heard()
  }

  /** The server's answer. A session whose socket says nothing for `cleanupTimeout` is given up. */
  private answer<A>(session: Session, question: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.flatMap(
      leaveAfter(question, this.target.reach.cleanupTimeout, this.target.io.clock),
      (answer): Effect.Effect<A, SqlError> => {
        if (Option.isNone(answer)) session.destroy()
        // An answer from a session that was lost since does not count: the next session is asked again.
        return Option.isSome(answer) && session.isAlive ? answer.value : Effect.fail(listenerLost(session.loss))
      }
    )
  }

  /** The log has to hear of it from here: the pool may have no need of a connect. */
  private noteFailing(error: SqlError): void {
    this.lastFailure = error
    // A session that is lost is replaced, without a word in the log.
    const isReplaced = this.hasListened && error.cause instanceof NotSent
    this.hasListened = false
    if (isFinal(error) || isReplaced) return
    this.incidents.failed(error instanceof ConnectFailed ? error.message : wordsOf(error.cause))
  }

  private readonly warn = Effect.suspend(() => {
    if (this.hasWarned) return Effect.void
    this.hasWarned = true
    return warning(this.target, "LISTEN")
  })
}

/** Notifications went to a session of the server that a pooler has given to somebody else: they would do so again. */
class SessionGivenAway extends Error {
  override readonly message = "A pooler has given the session that listens to somebody else: connect past it for LISTEN"
}

const notOurs = Effect.suspend(() => {
  const cause = new SessionGivenAway()
  return Effect.fail(sqlFailure({ cause, message: cause.message }))
})

/** Whether no other session is tried. All other failures may pass. */
const isFinal = (error: SqlError): boolean => isPermanent(error) || error.cause instanceof SessionGivenAway

const failureOf = (cause: Cause.Cause<SqlError>): SqlError =>
  Option.getOrElse(Cause.failureOption(cause), () => connectError(Cause.squash(cause)))

const listenerLost = (cause?: unknown) => failure("The connection that listens was lost", new NotSent({ cause }))
