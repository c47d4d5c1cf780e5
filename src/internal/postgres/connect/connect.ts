/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { TcpSocketConnectOpts } from "node:net"
import { isIP, Socket } from "node:net"
import type * as Pg from "pg"
import { awaiting } from "../../effects.js"
import { ConnectTimedOut } from "../../pool/life.js"
import { within } from "../../time/deadline.js"
import { ioClock } from "../../time/ioClock.js"
import { causes } from "../../words.js"
import { withFresh } from "../config/password.js"
import type { Target } from "../config/target.js"
import { onUnixSocket } from "../config/tls.js"
import { makeClient } from "../driver/driver.js"
import type { Client } from "../driver/pgClient.js"
import { isServerError } from "../errors/codes.js"
import { asConnectError, connectError, loginError, onConnectFailed, withHint } from "../errors/errors.js"
import { Lease } from "../lease/lease.js"
import { ask } from "../session/ask.js"
import { reachServer, warnOfPooler } from "../session/pooler.js"
import { checkRole } from "../session/roles.js"
import { Session } from "../session/session.js"
import type { Place } from "./dial.js"
import { dial } from "./dial.js"

/**
 * Opens a session, in a scope that closes it. An interrupt destroys the socket at once. Whatever goes wrong is a connect
 * that failed, be it a defect: then the pool waits before the next one (R18).
 *
 * @internal
 */
export const connect = (
  target: Target,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.catchAllCause(establish(target, onLost), (cause) => Effect.fail(withHint(asConnectError(cause), target.hint)))

const establish = (
  target: Target,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const first = yield* target.password
    const session = yield* dial(
      target.hosts,
      target.stream === undefined,
      target.connectTimeout,
      target.reach,
      (place, role) =>
        withFresh(first, target.password, (password) => open(target, password, place, onLost)).pipe(
          Effect.tap((session) => checkRole(session, role))
        )
    )
    // Where the connection was lost, that is the failure, and not what became of the statement that ran.
    yield* Effect.mapError(
      Effect.zipRight(reachServer(target, session), prepare(target, session)),
      (error) => session.isAlive ? error : connectError(session.loss)
    )
    // Whoever was given it would only have the next one dialled, at once.
    if (!session.isAlive) return yield* connectError(session.loss)
    return session
  })

const open = (
  target: Target,
  password: Redacted.Redacted | undefined,
  place: Place,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const settings = { ...target.client(), ...settingsOf(place), password: password && Redacted.value(password) }
    const client = yield* Effect.try({ try: () => makeClient(settings, target.login), catch: connectError })
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => new Session(client as unknown as Client, target, onLost)),
      (session) => session.close
    )
    const began = ioClock.unsafeCurrentTimeMillis()
    yield* awaiting<void, SqlError>((resume) => {
      const failed = (error: unknown) => {
        // Before there is another dial.
        session.destroy()
        // What ended the connection, and not only that it has ended.
        resume(Effect.fail(loginError(session.loss ?? error, Boolean(session.client.password))))
      }
      // Of some failures it tells only so, as where this machine forbids MD5.
      session.client.once("error", failed)
      session.client.connect((error) => {
        if (error) return failed(error)
        session.client.off("error", failed)
        resume(Effect.void)
      })
      return () => session.destroy()
    })
    target.reach.connected(ioClock.unsafeCurrentTimeMillis() - began)
    session.watchReady()
    return session
  })

/** The socket goes to the address; `pg` only knows the host's name, which a certificate has to be for. */
const settingsOf = ({ address, host: { name, port } }: Place): Pg.ClientConfig => {
  if (name.startsWith("/")) return { host: name, port, ...onUnixSocket } as Pg.ClientConfig
  if (address === undefined) return { host: name, port }
  const stream = () => {
    const socket = new Socket()
    const { connect }: { readonly connect: (this: Socket, to: TcpSocketConnectOpts) => Socket } = socket
    return Object.assign(socket, { connect: () => connect.call(socket, { port, host: address }) })
  }
  return { host: name, port, stream }
}

/**
 * The same, where no pool watches over `connectTimeout`.
 *
 * @internal
 */
export const connectInTime = (target: Target, onLost: (session: Session) => void): ReturnType<typeof connect> =>
  within(connect(target, onLost), {
    millis: target.connectTimeout,
    clock: ioClock,
    onTimeout: () => connectError(new ConnectTimedOut(target.connectTimeout))
  })

/**
 * Whether the server still runs something in a session that can't be asked itself: a session of its own asks, at the
 * same address. If that refuses to tell, it does. Where nobody answers at all, as on a network that is gone, it can't be
 * known, and callers are not to wait for it; nor is anything known of what is behind a pooler.
 *
 * @internal
 */
export const stillRuns = (target: Target, { cancellable, processId }: Session): Effect.Effect<boolean> => {
  const { host: name, port, remoteAddress } = cancellable
  const isNamed = target.stream === undefined && !name.startsWith("/") && isIP(name) === 0
  const place = { host: { name, port }, address: isNamed ? remoteAddress : undefined }
  const question =
    `SELECT count(*) FROM pg_stat_activity WHERE pid = ${processId} AND coalesce(state, '') NOT LIKE 'idle%'`
  const runs = Effect.withClock(target.password, target.clock).pipe(
    Effect.flatMap((password) => open(target, password, place, () => {})),
    Effect.flatMap((session) => ask(session, question)),
    Effect.scoped,
    Effect.map((count) => count !== "0"),
    Effect.catchAllCause((cause) => Effect.succeed(causes(Cause.squash(cause)).some(isServerError)))
  )
  return processId === 0
    ? Effect.succeed(true)
    : within(runs, { millis: target.reach.youngFor, clock: ioClock, onTimeout: () => Effect.succeed(false) })
}

/** What each session gets before its first use, and again after all was discarded. */
const prepare = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    if (target.settings !== undefined) {
      yield* Effect.mapError(session.query<unknown>(target.settings, "leave"), ({ cause }) => connectError(cause))
    }
    yield* warnOfPooler(target, session)
    if (target.onConnect === undefined) return
    const lease = new Lease(session)
    yield* Effect.suspend(() => target.onConnect!(lease)).pipe(
      Effect.catchAllCause((cause) => Effect.failCause(onConnectFailed(cause))),
      Effect.ensuring(Effect.sync(() => lease.end()))
    )
    yield* settle(session)
    if (session.isInTransaction) return yield* connectError(new Error("onConnect has left a transaction open"))
  })

/** Waits until it is settled with nothing in between: somebody else may have waited for the same moment. */
const settle = (session: Session): Effect.Effect<void> =>
  Effect.flatMap(session.settled, () => session.isSettled ? Effect.void : settle(session))

/**
 * Makes a session fit for the next borrower, or fails (R15). It waits for what is still in flight, and for a cancel
 * that could still hit something (R16).
 *
 * @internal
 */
export const reset = (target: Target, session: Session): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    yield* settle(session)
    if (!session.isAlive) return yield* session.notSent()
    if (session.isInTransaction) {
      if (target.reset === "none") return yield* connectError(new Error("a transaction was left open"))
      yield* session.query<unknown>("ROLLBACK", "leave")
    }
    if (target.reset === "session") {
      yield* session.query<unknown>("DISCARD ALL", "leave")
      yield* prepare(target, session)
    }
  })
