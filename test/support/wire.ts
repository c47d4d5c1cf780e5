import type { Duplex } from "node:stream"
import type { Proxy } from "../../src/internal/testing/proxy.js"

/** The server's side of the protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html */

export const int16 = (n: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(n & 0xffff)
  return bytes
}

export const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(n | 0)
  return bytes
}

export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

export const message = (kind: string, ...body: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(body)
  return Buffer.concat([Buffer.from(kind, "latin1"), int32(content.length + 4), content])
}

/** What a login is asked for: one of the methods of authentication, by its number. */
export const authentication = (method: number, ...rest: ReadonlyArray<Buffer | string>): Buffer =>
  message("R", int32(method), ...rest.map((part) => Buffer.from(part)))
export const authenticationOk = authentication(0)
export const keyData = (pid = 1234, key = 5678): Buffer => message("K", int32(pid), int32(key))
export const parameter = (name: string, value: string): Buffer => message("S", text(name), text(value))
export const ready = (status = "I"): Buffer => message("Z", Buffer.from(status))
export const complete = (tag: string): Buffer => message("C", text(tag))
export const notification = (channel: string, payload: string): Buffer =>
  message("A", int32(1234), text(channel), text(payload))

export const fields = (of: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat([...Object.entries(of).map(([type, value]) => text(type + value)), Buffer.from([0])])
export const error = (code: string, why: string, severity = "ERROR"): Buffer =>
  message("E", fields({ S: severity, V: severity, C: code, M: why }))
export const errorResponse = (code: string, why = "said the server", severity = "FATAL"): Buffer =>
  error(code, why, severity)
export const notice = (why: string): Buffer => message("N", fields({ S: "NOTICE", C: "00000", M: why }))

export const rowDescription = (names: ReadonlyArray<string>): Buffer =>
  message(
    "T",
    int16(names.length),
    ...names.map((name) => Buffer.concat([text(name), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)]))
  )

export const dataRow = (values: ReadonlyArray<string | null>): Buffer =>
  message(
    "D",
    int16(values.length),
    ...values.map((value) =>
      value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)])
    )
  )

export const greeting: ReadonlyArray<Buffer> = [
  authenticationOk,
  parameter("server_version", "18.0"),
  parameter("in_hot_standby", "off"),
  parameter("default_transaction_read_only", "off"),
  keyData(),
  ready()
]

/** Cuts what a client sends into its messages. The first ones have no kind. */
export class Requests {
  private bytes = Buffer.alloc(0)
  private hasStarted = false

  constructor(
    private readonly onStart: (code: number) => void,
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
        this.onStart(code)
      }
    }
  }
}

export const startup = 196608
export const cancelRequest = 80877102
export const sslRequest = 80877103

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
