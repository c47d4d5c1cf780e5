/** @internal */
import { Duplex } from "node:stream"
import type { End } from "./network.js"

/**
 * One end of a connection within the process. What one end writes is at the other in the same step, and all else is told
 * in the next tick: no timer and no turn of the event loop is needed, so that a `TestClock` decides when things happen.
 *
 * @internal
 */
export class MemorySocket extends Duplex implements End {
  readonly remoteAddress = "127.0.0.1"
  private other: MemorySocket | undefined

  constructor() {
    super({ allowHalfOpen: false })
  }

  /** Makes the other end. */
  join(): MemorySocket {
    const other = new MemorySocket()
    this.other = other
    other.other = this
    return other
  }

  /** Options of sockets, of which memory knows nothing. */
  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  resetAndDestroy(): this {
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" })
    this.other?.destroy(reset)
    return this.destroy()
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.other?.receive(chunk)
    done()
  }

  override _final(done: (error?: Error) => void): void {
    this.other?.receive(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.other?.receive(null)
    done(error)
  }

  private receive(chunk: Buffer | null): void {
    if (!this.readableEnded && !this.destroyed && !this.hasEnd) this.push(chunk)
    if (chunk === null) this.hasEnd = true
  }

  private hasEnd = false
}
