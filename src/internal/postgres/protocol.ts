/** @internal */
import { isServerError } from "./codes.js"

type Listener = (...args: ReadonlyArray<never>) => void

interface Stream {
  readonly on: (event: string, listener: Listener) => unknown
}

interface Connection extends Stream {
  /** How `pg` begins to read a socket, or the TLS over it. */
  attachListeners: (stream: Stream) => void
}

/**
 * Tells of what is not the protocol: a message of an unknown kind, or one that can't be read. Of the former `pg` makes
 * a failed query, and goes on with a session of which nobody knows any more which answer is whose. The latter it throws
 * in an event of the socket, where nobody can catch it: that would end the process (R17).
 *
 * @internal
 */
export const watchProtocol = (connection: Connection, onViolation: (error: unknown) => void): void => {
  const attach = connection.attachListeners.bind(connection)
  const guarded = (listener: Listener): Listener => (...args) => {
    try {
      listener(...args)
    } catch (error) {
      onViolation(error)
    }
  }
  connection.attachListeners = (stream) => attach({ on: (event, listener) => stream.on(event, guarded(listener)) })
  connection.on("errorMessage", (message: unknown) => {
    if (!isServerError(message)) onViolation(message)
  })
}
