/** @internal */
import type { Judge } from "./frames.js"
import type { Kind } from "./messages.js"
import { authentication, kinds } from "./messages.js"

/** The server sent something that is not the protocol at all, or not allowed at that moment. @internal */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation"
  constructor(what: string) {
    super(
      `The server sent something that is not the PostgreSQL protocol: ${what}. See that host and port are those of a ` +
        "PostgreSQL server or of a pooler, and that nothing in between changes what it sends"
    )
  }
}

/**
 * The limit of libpq: only messages of some kinds may be longer than this.
 *
 * https://github.com/postgres/postgres/blob/master/src/interfaces/libpq/fe-protocol3.c (`VALID_LONG_MESSAGE_TYPE`)
 */
const longestShort = 30_000

/** Before the login has ended, no server is trusted with more memory than this. */
const longestAtLogin = 1 << 20

/**
 * The server can't make longer messages: https://github.com/postgres/postgres/blob/master/src/include/utils/memutils.h
 */
const longest = 0x3fffffff + 4

/**
 * The turns of client and server. The conversation records each request and judges each answer. So a message that the
 * server sent before the request is never given to a caller as the answer. The conversation does not read the content
 * of an answer: that is the work of the query.
 *
 * @internal
 */
export class Conversation implements Judge {
  private isAuthenticated = false
  private isReady = false
  /** Whether the server may ask for credentials: once for each message that the client sends. */
  private mayAsk = true
  /**
   * One entry for each ReadyForQuery that is still to come: whether a statement must be answered before it. The login
   * has an entry as well.
   */
  private readonly owed: Array<boolean> = [false]
  /** A request was sent that no ReadyForQuery will end, unless a Sync follows. */
  private isOpen = false
  private hasExecuted = false
  /** A limited number of rows was asked for. If the statement has more rows, `pg` asks for them later. */
  private hasPages = false
  /** A statement was answered since the last ReadyForQuery. */
  private isAnswered = false
  private isCopyingIn = false

  /** Parse, Bind, Describe or Close. */
  request(): void {
    this.isOpen = true
  }

  execute(portal: { readonly rows?: number }): void {
    this.isOpen = true
    this.hasExecuted = true
    if (portal.rows) this.hasPages = true
  }

  sync(): void {
    this.owed.push(this.hasExecuted)
    this.isOpen = false
    this.hasExecuted = false
  }

  query(): void {
    this.owed.push(true)
  }

  credentials(): void {
    this.mayAsk = true
  }

  announced(byte: number, length: number): void {
    const kind = kinds[byte]
    if (kind === undefined) {
      throw new ProtocolViolation(`a message of an unknown kind (0x${byte.toString(16).padStart(2, "0")})`)
    }
    const limit = kind.isLong ? (this.isReady ? longest : longestAtLogin) : longestShort
    if (length < 4 || length > limit) throw new ProtocolViolation(`a ${kind.name} with a length of ${length} bytes`)
    if (!this.isExpected(kind)) throw new ProtocolViolation(`a ${kind.name} that nothing had asked for`)
  }

  received(byte: number, bytes: Buffer, at: number, end: number): void {
    const kind = kinds[byte]!
    if (kind.layout(bytes, at, end) !== end) {
      throw new ProtocolViolation(`a ${kind.name} whose content does not fit its length of ${end - at + 4} bytes`)
    }
    switch (kind.effect) {
      case undefined:
        return
      case "authentication":
        return this.asksForCredentials(bytes.readInt32BE(at))
      case "ready":
        return this.ends()
      case "copy":
        return this.copiesIn()
      case "page":
        if (!this.hasPages) throw new ProtocolViolation("a PortalSuspended although all rows were asked for")
        break
      case "answered":
        this.isCopyingIn = false
    }
    this.isAnswered = true
  }

  private isExpected({ moment }: Kind): boolean {
    if (moment === "answer") return this.isReady && (this.owed.length > 0 || this.isOpen)
    if (moment === "end") return this.isAuthenticated && this.owed.length > 0
    return moment === "any" || !this.isReady
  }

  /** Each question may cost much: the client computes some 10,000 hashes of a password. */
  private asksForCredentials(code: number): void {
    const isQuestion = code !== authentication.ok && code !== authentication.saslFinal
    if (this.isAuthenticated || (isQuestion && !this.mayAsk)) {
      throw new ProtocolViolation("an Authentication that nothing had asked for")
    }
    if (isQuestion) this.mayAsk = false
    if (code === authentication.ok) this.isAuthenticated = true
  }

  private ends(): void {
    if (this.owed.shift() === true && !this.isAnswered) {
      throw new ProtocolViolation("a ReadyForQuery in place of an answer")
    }
    this.isReady = true
    this.isAnswered = false
    this.isCopyingIn = false
    if (this.owed.length === 0 && !this.isOpen) this.hasPages = false
  }

  /** The client answers each CopyInResponse at once, whether the server reads that answer or not. */
  private copiesIn(): void {
    if (this.isCopyingIn) throw new ProtocolViolation("a second CopyInResponse")
    this.isCopyingIn = true
  }
}
