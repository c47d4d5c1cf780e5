/** @internal */

/** The size of the kind of a message and of the length that follows it. */
const header = 5

/**
 * The most memory that is allocated for a message before its bytes have come. The system provides memory only when it
 * is written to. So a server that announces much and sends little gains nothing, and bytes that do come are seldom
 * copied twice.
 */
const stake = 1 << 26

const none = Buffer.alloc(0)

/** Judges the messages of a server, and throws if one is not allowed. @internal */
export interface Judge {
  /**
   * A message of that kind begins; its length counts all but its first byte. Called again each time that more of the
   * message comes.
   */
  announced(kind: number, length: number): void
  /** The message is complete: its body is the bytes from `at` to `end`. */
  received(kind: number, bytes: Buffer, at: number, end: number): void
}

/**
 * Makes whole messages of the chunks that a socket gives. `pg` would do that as well, but every message must be judged
 * before `pg` gets it. To copy no more than `pg` would, only a message that lies across two chunks is copied.
 *
 * @internal
 */
export class Frames {
  /** The part that has come of an incomplete message. The buffer may be larger than that part. */
  private held = none
  private size = 0

  constructor(private readonly judge: Judge) {}

  /** Returns whole messages, in pieces of one or several, after all of them have been judged. */
  take(chunk: Buffer): ReadonlyArray<Buffer> {
    const pieces: Array<Buffer> = []
    let at = 0
    if (this.size > 0) {
      at = this.complete(chunk)
      if (!this.isComplete) return pieces
      pieces.push(this.release())
    }
    const end = this.pass(chunk, at)
    if (end > at) pieces.push(end - at === chunk.length ? chunk : chunk.subarray(at, end))
    if (end < chunk.length) this.hold(chunk, end)
    return pieces
  }

  /** Returns the end of the last complete message. */
  private pass(bytes: Buffer, at: number): number {
    while (at + header <= bytes.length) {
      const end = at + this.sizeOf(bytes, at)
      if (end > bytes.length) break
      this.judge.received(bytes[at], bytes, at + header, end)
      at = end
    }
    return at
  }

  private sizeOf(bytes: Buffer, at: number): number {
    const length = (bytes[at + 1] << 24) | (bytes[at + 2] << 16) | (bytes[at + 3] << 8) | bytes[at + 4]
    this.judge.announced(bytes[at], length)
    return 1 + length
  }

  private get isComplete(): boolean {
    return this.size >= header && this.size === this.sizeOf(this.held, 0)
  }

  private hold(chunk: Buffer, at: number): void {
    const isKnown = at + header <= chunk.length
    this.add(chunk, at, isKnown ? this.sizeOf(chunk, at) : header)
  }

  /** Adds the bytes that belong to the incomplete message, and returns how many they are. */
  private complete(chunk: Buffer): number {
    const at = this.add(chunk, 0, header)
    return this.size < header ? at : this.add(chunk, at, this.sizeOf(this.held, 0))
  }

  private add(chunk: Buffer, at: number, whole: number): number {
    const end = Math.min(chunk.length, at + Math.max(0, whole - this.size))
    const size = this.size + end - at
    if (size > this.held.length) {
      const larger = Buffer.allocUnsafe(Math.min(whole, Math.max(stake, 4 * size)))
      this.held.copy(larger, 0, 0, this.size)
      this.held = larger
    }
    chunk.copy(this.held, this.size, at, end)
    this.size = size
    return end
  }

  private release(): Buffer {
    const message = this.held.subarray(0, this.size)
    this.judge.received(message[0], message, header, message.length)
    this.held = none
    this.size = 0
    return message
  }
}
