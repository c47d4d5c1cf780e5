/** @internal */
import * as Effect from "effect/Effect"
import { isIP } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { awaiting } from "../../effects.js"
import type { Target } from "../config/target.js"
import { whenSecure } from "./handshake.js"
import type { Wire } from "./pg.js"
import { newWire } from "./pg.js"

/** What is needed of the session whose statement is cancelled. @internal */
export interface Cancellable {
  /** The address that it is connected to. */
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly processID: number | null
  readonly secretKey: number | null
  readonly host: string
  readonly port: number
  readonly ssl: boolean | ConnectionOptions
  readonly sslNegotiation?: string | undefined
}

/** Where a cancel of a session goes, also when the session is gone. The key is to be in no output (R20). @internal */
export const cancellable = (session: Cancellable & { readonly connection: Wire }): Cancellable => {
  const { remoteAddress, remotePort } = session.connection.stream
  const { host, port, processID, secretKey, ssl, sslNegotiation } = session
  const shown = { remoteAddress, remotePort, processID, host, port, ssl, sslNegotiation }
  return Object.defineProperty(shown, "secretKey", { value: secretKey }) as Cancellable
}

/**
 * Asks the server to cancel what a session runs, on a socket of its own: to the address that the session is connected
 * to, with TLS negotiated as the session has it (R16). `true` once the server has closed that socket: only then can the
 * request hit nothing any more. `false` if that can't be known. An interrupt closes the socket. `onReached` is told that
 * the server is there.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 *
 * @internal
 */
export const cancelRequest = (
  session: Cancellable,
  target: Target,
  onReached: () => void
): Effect.Effect<boolean> =>
  awaiting<boolean, never>((resume) => {
    const { sslNegotiation } = session
    const socket = newWire({ ssl: tlsOf(session), sslNegotiation, stream: target.stream?.() })
    // Nothing of what comes is for us: but only who reads on sees that the server has closed it.
    socket.attachListeners = (stream) => stream.resume?.()
    let isSent = false
    const send = () => {
      isSent = true
      socket.cancel(session.processID, session.secretKey)
    }
    socket.once("connect", () => {
      onReached()
      if (session.ssl === false) send()
      else if (sslNegotiation !== "direct") socket.requestSsl()
    })
    socket.once("sslconnect", () => whenSecure(socket, send))
    socket.on("error", () => void socket.stream.destroy())
    socket.once("end", () => resume(Effect.succeed(isSent)))
    if (session.host.startsWith("/")) socket.connect(`${session.host}/.s.PGSQL.${session.port}`)
    else {
      socket.connect(session.remotePort ?? session.port, session.remoteAddress ?? session.host)
    }
    return () => socket.stream.destroy()
  })

/**
 * The socket goes to an address, but the certificate is for the name that the session was opened with: of a host that
 * has one `pg` takes that, whatever `ssl.servername` says.
 */
const tlsOf = ({ host, ssl }: Cancellable): boolean | ConnectionOptions =>
  ssl === false ? false : { ...(ssl === true ? {} : ssl), host, ...(isIP(host) === 0 ? { servername: host } : {}) }
