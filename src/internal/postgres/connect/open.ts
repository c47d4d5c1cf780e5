/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { TcpSocketConnectOpts } from "node:net"
import { Socket } from "node:net"
import type * as Pg from "pg"
import { awaiting } from "../../effects.js"
import type { Target } from "../config/target.js"
import { onUnixSocket } from "../config/tls.js"
import { makeClient } from "../driver/makeClient.js"
import { connectError, loginError } from "../errors/errors.js"
import { Session } from "../session/session.js"
import type { Place } from "./dial.js"

/** Opens a socket to one place, and logs in. The session is closed with its scope. @internal */
export const open = (
  target: Target,
  password: Redacted.Redacted | undefined,
  place: Place,
  onLost: (session: Session) => void
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const config = { ...target.client(), ...placeIn(place), password: password && Redacted.value(password) }
    const client = yield* Effect.try({ try: () => makeClient(config, target.login), catch: connectError })
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => new Session(client, target, onLost)),
      (session) => session.close
    )
    const began = target.io.now()
    yield* logIn(session)
    target.reach.connected(target.io.now() - began)
    session.watchReady()
    return session
  })

const logIn = (session: Session): Effect.Effect<void, SqlError> =>
  awaiting<void, SqlError>((resume) => {
    const failed = (error: unknown) => {
      // Before another place is dialled.
      session.destroy()
      // The reason why the connection ended says more than that it has ended.
      resume(Effect.fail(loginError(session.loss ?? error, Boolean(session.client.password))))
    }
    // `pg` tells of some failures only so, as where this machine forbids MD5.
    session.client.once("error", failed)
    session.client.connect((error) => {
      if (error) return failed(error)
      session.client.off("error", failed)
      resume(Effect.void)
    })
    return () => session.destroy()
  })

/** The socket goes to the address. `pg` knows only the host's name, for which a certificate has to be. */
const placeIn = ({ address, host: { name, port } }: Place): Pg.ClientConfig => {
  if (name.startsWith("/")) return { host: name, port, ...onUnixSocket } as Pg.ClientConfig
  if (address === undefined) return { host: name, port }
  const stream = () => {
    const socket = new Socket()
    const { connect }: { readonly connect: (this: Socket, to: TcpSocketConnectOpts) => Socket } = socket
    return Object.assign(socket, { connect: () => connect.call(socket, { port, host: address }) })
  }
  return { host: name, port, stream }
}
