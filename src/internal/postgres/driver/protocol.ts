/** @internal */
import { isServerError } from "../errors/codes.js"
import { Conversation } from "./conversation.js"
import { Frames } from "./frames.js"
import type { Wire } from "./pg.js"
import { withFastTexts } from "./texts.js"

type Listener = (chunk: Buffer) => void

/** The messages that a client sends by `pg`'s connection, and their meaning in the conversation. */
const requests = {
  query: "query",
  execute: "execute",
  sync: "sync",
  parse: "request",
  bind: "request",
  describe: "request",
  close: "request",
  password: "credentials",
  sendSASLInitialResponseMessage: "credentials",
  sendSCRAMClientFinalMessage: "credentials"
} as const satisfies Partial<Record<keyof Wire, keyof Conversation>>

type Request = keyof typeof requests

/** Any of these methods, with its arguments. */
type Send = (what: never, more: never) => void

/**
 * Stands between a socket and `pg`, and reports every violation of the protocol. `pg` itself handles them badly (R17):
 * - It turns a message of an unknown kind into a failed query and goes on with the session. From then on nobody knows
 *   which answer belongs to which query.
 * - It takes a truncated message for longer than it is, or reads for ever.
 * - If it can't read a message, it throws in an event of the socket. Nobody can catch that, so the process would end.
 *
 * @internal
 */
export const watchProtocol = (connection: Wire, onViolation: (error: unknown) => void): void => {
  const conversation = new Conversation()
  const sends: Record<Request, Send> = connection
  for (const name of Object.keys(requests) as Array<Request>) {
    const send = sends[name].bind(connection)
    const meaning = requests[name]
    sends[name] = (what, more) => {
      conversation[meaning](what)
      send(what, more)
    }
  }
  let isOver = false
  const violated = (error: unknown) => {
    if (isOver) return
    isOver = true
    onViolation(error)
    // All callers get this error as the reason.
    connection.emit("error", error)
  }
  const attach = connection.attachListeners.bind(connection)
  connection.attachListeners = (stream) => {
    const frames = new Frames(conversation)
    const guarded = (listener: Listener): Listener => (chunk) => {
      try {
        for (const messages of frames.take(chunk)) {
          if (isOver) return
          listener(withFastTexts(messages))
        }
      } catch (error) {
        violated(error)
      }
    }
    attach({ on: (event, listener) => stream.on(event, event === "data" ? guarded(listener) : listener) })
  }
  connection.on("errorMessage", (message) => {
    if (!isServerError(message)) violated(message)
  })
}
