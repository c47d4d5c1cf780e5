/** @internal */
import { noAlpn } from "../errors/tlsAdvice.js"
import type { Wire } from "./pg.js"

/**
 * Runs `send` once the server is trusted. `pg` itself sends as soon as the handshake begins, and does not check whether
 * the server has agreed on the protocol. Where TLS was not asked for the server must agree, else it may be a server of
 * another protocol that is made to read ours
 * (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL).
 *
 * @internal
 */
export const whenSecure = (connection: Wire, send: () => void): void => {
  const { stream } = connection
  stream.once("secureConnect", () => {
    if (connection.sslNegotiation !== "direct" || stream.alpnProtocol === "postgresql") send()
    else connection.emit("error", new Error(noAlpn))
  })
}
