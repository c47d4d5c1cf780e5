/** @internal */
import type { Wire } from "./pg.js"

/**
 * Sends what is written at once, and what is written until the running fiber waits for something, in one piece. That is
 * one system call. It also saves the last words of a server that has ended the session: a second write would fail, and
 * destroy the socket together with what it has received.
 *
 * @internal
 */
export const inOnePiece = ({ stream }: Pick<Wire, "stream">, write: () => void): void => {
  stream.cork()
  process.nextTick(() => stream.uncork())
  write()
}
