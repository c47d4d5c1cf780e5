import type { Duplex } from "node:stream"
import type { Proxy } from "../../src/internal/testing/proxy.js"

/** Ends each new login with that, or with what it gives. Sessions that there are go on. */
export const answerLogins = (proxy: Proxy, answer: Buffer | (() => Buffer)): void => {
  proxy.onAnswer = (chunk: Buffer, client: Duplex) => {
    // Only a login is answered with an R.
    if (chunk[0] !== "R".charCodeAt(0)) return chunk
    client.end(typeof answer === "function" ? answer() : answer)
    return undefined
  }
}

/** Lets logins pass again. */
export const admitLogins = (proxy: Proxy): void => {
  proxy.onAnswer = (chunk) => chunk
}
