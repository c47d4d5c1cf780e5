/** @internal */
import { isServerError } from "../errors/codes.js"
import { Conversation } from "./conversation.js"
import { Frames } from "./frames.js"
import type { Wire } from "./pg.js"

type Listener = (chunk: Buffer) => void

/** What a client sends by `pg`'s connection, and what that is to the server. */
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

/** Any of them, with what it is called with. */
type Send = (what: never, more: never) => void

/**
 * Stands between a socket and `pg`, and tells of what is not the protocol. Of a message of an unknown kind `pg` makes a
 * failed query, and goes on with a session of which nobody knows any more which answer is whose. One that is cut short
 * it takes for longer than it is, or reads for ever. What it can't read it throws in an event of the socket, where nobody
 * can catch it: that would end the process (R17).
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
    // So that it is the reason that all callers hear.
    connection.emit("error", error)
  }
  const attach = connection.attachListeners.bind(connection)
  connection.attachListeners = (stream) => {
    const frames = new Frames(conversation)
    const guarded = (listener: Listener): Listener => (chunk) => {
      try {
        for (const messages of frames.take(chunk)) {
          if (isOver) return
          listener(messages)
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
