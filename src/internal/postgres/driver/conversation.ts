/** @internal */
import type { Judge } from "./frames.js"
import type { Kind } from "./messages.js"
import { authentication, kinds } from "./messages.js"

/** What a server sent that is not the protocol, at all or at that moment. @internal */
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
 * As libpq has it: only of some kinds a message may be longer than that.
 *
 * https://github.com/postgres/postgres/blob/master/src/interfaces/libpq/fe-protocol3.c (`VALID_LONG_MESSAGE_TYPE`)
 */
const longestShort = 30_000

/** No server is trusted with more memory before the login has ended. */
const longestAtLogin = 1 << 20

/** The server can't make longer ones: https://github.com/postgres/postgres/blob/master/src/include/utils/memutils.h */
const longest = 0x3fffffff + 4

/**
 * Whose turn it is. It knows what was asked and judges what is answered, so that nobody is given as an answer what was
 * sent before the question. It does not follow what is in the answer: who has asked does.
 *
 * @internal
 */
export class Conversation implements Judge {
  private isAuthenticated = false
  private isReady = false
  /** Whether the server may ask for credentials: once for each message of ours. */
  private mayAsk = true
  /** For each ReadyForQuery that is to come: whether a statement has to be answered before it. The login has one as well. */
  private readonly owed: Array<boolean> = [false]
  /** Something was asked for that no ReadyForQuery will end, unless one is asked for. */
  private isOpen = false
  private hasExecuted = false
  /** Only so many rows of a statement were asked for: if it has more, `pg` asks for these. */
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

  /** Each question may cost much: of a password some 10,000 hashes are made. */
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

  /** Each is answered at once, be that read or not. */
  private copiesIn(): void {
    if (this.isCopyingIn) throw new ProtocolViolation("a second CopyInResponse")
    this.isCopyingIn = true
  }
}
