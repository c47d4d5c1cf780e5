/** @internal */

/**
 * The moment when a message may come: while a session logs in, at any time, as part of an answer, or at the end of one.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html
 *
 * @internal
 */
export type Moment = "login" | "any" | "answer" | "end"

/**
 * The change that a message makes:
 * - `authentication`: the server asks for credentials.
 * - `copy`: the server will read the data of a COPY.
 * - `empty`: an empty statement is answered.
 * - `page`: a page of rows is answered.
 * - `answered`: a statement is answered.
 * - `ready`: everything that was requested up to a certain point is answered.
 *
 * @internal
 */
export type Effect = "authentication" | "copy" | "empty" | "page" | "answered" | "ready"

/** A kind of message that a server sends. @internal */
export interface Kind {
  readonly name: string
  readonly moment: Moment
  /** Whether a message of this kind may be longer than `longestShort`. */
  readonly isLong: boolean
  readonly layout: Part
  readonly effect: Effect | undefined
}

/** Returns the end of the message part that begins at `at`. The end is beyond `end` if the part is cut short. */
type Part = (bytes: Buffer, at: number, end: number) => number

const broken = Infinity

const sized = (size: number): Part => (_bytes, at) => at + size

/** Up to a NUL. */
const text: Part = (bytes, at, end) => {
  while (at < end && bytes[at] !== 0) at++
  return at + 1
}

/** Texts up to an empty one. */
const texts: Part = (bytes, at, end) => {
  while (at < end && bytes[at] !== 0) at = text(bytes, at, end)
  return at + 1
}

const sequence = (...parts: ReadonlyArray<Part>): Part => (bytes, at, end) => {
  for (const part of parts) at = part(bytes, at, end)
  return at
}

/** A list that begins with the number of its parts. `pg` reads that number as a signed one. */
const listOf = (part: Part): Part => (bytes, at, end) => {
  if (at + 2 > end) return broken
  const count = bytes.readInt16BE(at)
  if (count < 0) return broken
  at += 2
  for (let i = 0; i < count && at <= end; i++) at = part(bytes, at, end)
  return at
}

/**
 * The values of a row. Each has its size before it, or -1 for a null. Most of the bytes that a server sends are such
 * values, so they have a loop of their own, which reads the sizes directly from the bytes.
 */
const values: Part = (bytes, at, end) => {
  if (at + 2 > end) return broken
  let left = bytes.readInt16BE(at)
  if (left < 0) return broken
  at += 2
  while (left-- > 0) {
    if (at + 4 > end) return broken
    const size = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]
    if (size < -1) return broken
    at += size === -1 ? 4 : 4 + size
  }
  return at
}

const rest: Part = (_bytes, at, end) => Math.max(at, end)

/** At least `size` bytes. Later minor versions of the protocol have longer keys. */
const atLeast = (size: number): Part => (_bytes, at, end) => Math.max(at + size, end)

const status: Part = (bytes, at) => "ITE".includes(String.fromCharCode(bytes[at])) ? at + 1 : broken

/** The codes of the requests that a server makes at the login. @internal */
export const authentication = { ok: 0, md5: 5, sasl: 10, saslFinal: 12 } as const

/** If `pg` does not know the code, `pg` itself reports it. */
const authenticationLayout: Part = (bytes, at, end) => {
  if (at + 4 > end) return broken
  const code = bytes.readInt32BE(at)
  at += 4
  if (code === authentication.ok) return at
  if (code === authentication.md5) return at + 4
  return code === authentication.sasl ? texts(bytes, at, end) : rest(bytes, at, end)
}

const kind = (name: string, moment: Moment, layout: Part, effect?: Effect): Kind => ({
  name,
  moment,
  layout,
  effect,
  isLong: false
})

const long = (name: string, moment: Moment, layout: Part, effect?: Effect): Kind => ({
  ...kind(name, moment, layout, effect),
  isLong: true
})

const empty = sequence()
const copyFormats = sequence(sized(1), listOf(sized(2)))

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
const table: Readonly<Record<string, Kind>> = {
  R: kind("Authentication", "login", authenticationLayout, "authentication"),
  K: kind("BackendKeyData", "login", atLeast(8)),
  S: kind("ParameterStatus", "any", sequence(text, text)),
  N: long("NoticeResponse", "any", texts),
  E: long("ErrorResponse", "any", texts, "answered"),
  A: long("NotificationResponse", "any", sequence(sized(4), text, text)),
  T: long("RowDescription", "answer", listOf(sequence(text, sized(18)))),
  D: long("DataRow", "answer", values),
  C: kind("CommandComplete", "answer", text, "answered"),
  I: kind("EmptyQueryResponse", "answer", empty, "empty"),
  s: kind("PortalSuspended", "answer", empty, "page"),
  n: kind("NoData", "answer", empty),
  t: long("ParameterDescription", "answer", listOf(sized(4))),
  "1": kind("ParseComplete", "answer", empty),
  "2": kind("BindComplete", "answer", empty),
  "3": kind("CloseComplete", "answer", empty),
  G: kind("CopyInResponse", "answer", copyFormats, "copy"),
  H: kind("CopyOutResponse", "answer", copyFormats),
  W: kind("CopyBothResponse", "answer", copyFormats),
  d: long("CopyData", "answer", rest),
  c: kind("CopyDone", "answer", empty),
  Z: kind("ReadyForQuery", "end", status, "ready")
}

/** The kinds of messages, by the byte that a message begins with. @internal */
export const kinds: ReadonlyArray<Kind | undefined> = Array.from(
  { length: 256 },
  (_, byte) => table[String.fromCharCode(byte)]
)
