/** @internal */

/** The kind of a message and the length of what follows that. */
const header = 5

/**
 * At most so much is set aside for a message before it has come. The system gives memory only once it is written to: so
 * who announces much and sends little gains nothing, and what does come is seldom copied twice.
 */
const stake = 1 << 26

const none = Buffer.alloc(0)

/** Who judges what a server sends, by throwing. @internal */
export interface Judge {
  /** A message of that kind begins; its length counts all but its first byte. Asked as often as more of it comes. */
  announced(kind: number, length: number): void
  /** It is here: its body is what is from `at` to `end`. */
  received(kind: number, bytes: Buffer, at: number, end: number): void
}

/**
 * Makes whole messages of the chunks that a socket gives. `pg` would do that as well, but what it is given must have been
 * judged before. So nothing is copied that it would not copy; but of two chunks only the message that lies across them.
 *
 * @internal
 */
export class Frames {
  /** What there is of a message that is not here as a whole, in a buffer that may be larger. */
  private held = none
  private size = 0

  constructor(private readonly judge: Judge) {}

  /** Whole messages, in pieces of one or several, once all of them have been judged. */
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

  /** Where the last message ends that is here as a whole. */
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

  /** Adds what belongs to the message that is held, and says how much that is. */
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
