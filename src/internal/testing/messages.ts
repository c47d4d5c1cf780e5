/**
 * The server's side of the protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 * @internal
 */

/** @internal */
export const int16 = (n: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(n & 0xffff)
  return bytes
}

/** @internal */
export const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(n | 0)
  return bytes
}

/** @internal */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

/** @internal */
export const message = (kind: string, ...body: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(body)
  return Buffer.concat([Buffer.from(kind, "latin1"), int32(content.length + 4), content])
}

/** What a login is asked for: one of the methods of authentication, by its number. @internal */
export const authentication = (method: number, ...rest: ReadonlyArray<Buffer | string>): Buffer =>
  message("R", int32(method), ...rest.map((part) => Buffer.from(part)))
/** @internal */
export const authenticationOk = authentication(0)
/** @internal */
export const keyData = (pid = 1234, key = 5678): Buffer => message("K", int32(pid), int32(key))
/** @internal */
export const parameter = (name: string, value: string): Buffer => message("S", text(name), text(value))
/** @internal */
export const ready = (status = "I"): Buffer => message("Z", Buffer.from(status))
/** @internal */
export const complete = (tag: string): Buffer => message("C", text(tag))
/** @internal */
export const notification = (channel: string, payload: string): Buffer =>
  message("A", int32(1234), text(channel), text(payload))

/** @internal */
export const fields = (of: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat([...Object.entries(of).map(([type, value]) => text(type + value)), Buffer.from([0])])
/** @internal */
export const error = (code: string, why: string, severity = "ERROR"): Buffer =>
  message("E", fields({ S: severity, V: severity, C: code, M: why }))
/** @internal */
export const errorResponse = (code: string, why = "said the server", severity = "FATAL"): Buffer =>
  error(code, why, severity)
/** @internal */
export const notice = (why: string): Buffer => message("N", fields({ S: "NOTICE", C: "00000", M: why }))

/** Columns of texts. @internal */
export const rowDescription = (names: ReadonlyArray<string>): Buffer =>
  describe(names.map((name) => ({ name, oid: 25 })))

/** Columns and their types. @internal */
export const describe = (columns: ReadonlyArray<{ readonly name: string; readonly oid: number }>): Buffer =>
  message(
    "T",
    int16(columns.length),
    ...columns.map(({ name, oid }) =>
      Buffer.concat([text(name), int32(0), int16(0), int32(oid), int16(-1), int32(-1), int16(0)])
    )
  )

/** @internal */
export const dataRow = (values: ReadonlyArray<string | null>): Buffer =>
  message(
    "D",
    int16(values.length),
    ...values.map((value) =>
      value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)])
    )
  )

/** @internal */
export const greeting: ReadonlyArray<Buffer> = [
  authenticationOk,
  parameter("server_version", "18.0"),
  parameter("in_hot_standby", "off"),
  parameter("default_transaction_read_only", "off"),
  keyData(),
  ready()
]

/** Cuts what a client sends into its messages. The first ones have no kind. @internal */
export class Requests {
  private bytes = Buffer.alloc(0)
  private hasStarted = false

  constructor(
    private readonly onStart: (code: number, whole: Buffer) => void,
    private readonly onRequest: (kind: string, body: Buffer) => void
  ) {}

  readonly take = (chunk: Buffer): void => {
    this.bytes = Buffer.concat([this.bytes, chunk])
    while (true) {
      const header = this.hasStarted ? 1 : 0
      if (this.bytes.length < header + 4) return
      const end = header + this.bytes.readInt32BE(header)
      if (this.bytes.length < end) return
      const whole = this.bytes.subarray(0, end)
      this.bytes = this.bytes.subarray(end)
      if (this.hasStarted) this.onRequest(String.fromCharCode(whole[0]), whole.subarray(5))
      else {
        const code = whole.readInt32BE(4)
        this.hasStarted = code === startup
        this.onStart(code, whole)
      }
    }
  }
}

/** @internal */
export const startup = 196608
/** @internal */
export const cancelRequest = 80877102
/** @internal */
export const sslRequest = 80877103
