/** @internal */
import * as Effect from "effect/Effect"
import { isIP } from "node:net"
import type { ConnectionOptions } from "node:tls"
import { awaiting } from "../../effects.js"
import type { Target } from "../config/target.js"
import { whenSecure } from "./handshake.js"
import type { Wire } from "./pg.js"
import { newWire } from "./pg.js"

/** The properties of a session that are needed to cancel its statement. @internal */
export interface Cancellable {
  /** The address that the session is connected to. */
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly processID: number | null
  readonly secretKey: number | null
  readonly host: string
  readonly port: number
  readonly ssl: boolean | ConnectionOptions
  readonly sslNegotiation?: string | undefined
}

/**
 * The target of a cancel request for a session, valid also when the session is gone. No output may contain the key
 * (R20).
 *
 * @internal
 */
export const cancellable = (session: Cancellable & { readonly connection: Wire }): Cancellable => {
  const { remoteAddress, remotePort } = session.connection.stream
  const { host, port, processID, secretKey, ssl, sslNegotiation } = session
  const shown = { remoteAddress, remotePort, processID, host, port, ssl, sslNegotiation }
  return Object.defineProperty(shown, "secretKey", { value: secretKey }) as Cancellable
}

/**
 * Asks the server to cancel the running statement of a session, on a separate socket. The socket goes to the address
 * that the session is connected to, with TLS negotiated as for the session (R16). Returns `true` once the server has
 * closed that socket: only then is it sure that the request can no longer hit a later statement. Returns `false` if
 * that can't be known. An interrupt closes the socket. `onReached` is called when the server is reached.
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
    // The received bytes are of no use, but a socket notices that the server has closed it only while it reads.
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
 * The socket goes to an address, but the certificate is for the host name that the session was opened with. If the host
 * has a name, `pg` uses that name, whatever `ssl.servername` says.
 */
const tlsOf = ({ host, ssl }: Cancellable): boolean | ConnectionOptions =>
  ssl === false ? false : { ...(ssl === true ? {} : ssl), host, ...(isIP(host) === 0 ? { servername: host } : {}) }
