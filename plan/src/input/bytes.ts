/** The bytes of a file, which may also be a pipe or a terminal. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { accessSync, constants, createReadStream, openSync, statSync } from "node:fs"
import { Socket } from "node:net"
import type { Readable } from "node:stream"
import type { Mistake } from "../mistake.js"
import { unreadable } from "./input.js"

/**
 * A pipe is read as a socket is. A stream of a file would ask for its bytes in a thread that nothing can stop, and until
 * another process writes some, Ctrl-C could not end this one.
 */
export const openFile = (file: string): Readable => {
  if (file === "/dev/stdin") return process.stdin
  return isPipe(file)
    ? new Socket({ fd: openSync(file, constants.O_RDONLY | constants.O_NONBLOCK), writable: false })
    : createReadStream(file)
}

const isPipe = (file: string): boolean => {
  try {
    accessSync(file, constants.R_OK)
    return statSync(file).isFIFO()
  } catch {
    // It is not there, or may not be read: the stream of a file says so.
    return false
  }
}

export const bytesOf = (file: string): Stream.Stream<Uint8Array, Mistake> =>
  Stream.unwrap(Effect.map(
    Effect.try({ try: () => openFile(file), catch: (error) => unreadable(file, error) }),
    (source) => NodeStream.fromReadable(() => source, (error) => unreadable(file, error))
  ))
