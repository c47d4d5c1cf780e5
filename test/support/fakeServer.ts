/** A server that speaks the protocol and knows nothing else, for what a real one would never send. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { once } from "node:events"
import type { AddressInfo, Socket } from "node:net"
import { createServer } from "node:net"
import { TLSSocket } from "node:tls"
import type { Request } from "../../src/internal/testing/backend.js"
import { Backend } from "../../src/internal/testing/backend.js"
import type { Outcome } from "../../src/internal/testing/control.js"
import { done } from "../../src/internal/testing/control.js"
import * as Wire from "../../src/internal/testing/messages.js"
import type { Certificate } from "./certificates.js"

/** What a session is about to send: at the login, as an answer to what `request` has in it, or on a cancel's socket. */
export interface Occasion {
  readonly at: "login" | "answer" | "cancel"
  readonly request: string
  readonly session: FakeSession
}

export interface FakeServer {
  readonly port: number
  readonly sessions: ReadonlySet<FakeSession>
  /** What is sent instead. It may send it by itself, and give nothing. */
  onSend: (messages: Array<Buffer>, occasion: Occasion) => ReadonlyArray<Buffer>
  /** What the server sends first. */
  greeting: ReadonlyArray<Buffer>
}

export const start = (certificate?: Certificate): Effect.Effect<FakeServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => Server.listen(certificate)),
    (server) => Effect.promise(() => server.close())
  )

class Server implements FakeServer {
  readonly sessions = new Set<FakeSession>()
  onSend: FakeServer["onSend"] = (messages) => messages
  greeting = Wire.greeting
  private readonly sockets = new Set<Socket>()
  private readonly server = createServer((socket) => {
    this.sockets.add(socket.setNoDelay(true))
    socket.on("close", () => this.sockets.delete(socket))
    new FakeSession(this, socket, this.certificate)
  })

  private constructor(private readonly certificate: Certificate | undefined) {}

  static async listen(certificate: Certificate | undefined): Promise<Server> {
    const server = new Server(certificate)
    server.server.listen(0, "127.0.0.1")
    await once(server.server, "listening")
    return server
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    return new Promise((resolve) => this.server.close(() => resolve()))
  }
}

/**
 * Of a statement it understands `rows=N`, and a `tokN` anywhere in it or in its parameters, which is in all of its rows.
 */
export class FakeSession {
  private status = "I"
  /** What is answered with the next flush. */
  private asked = ""
  private readonly backend = new Backend({
    respond: (request, tell) => (tell([this.outcomeOf(request)]), () => {}),
    status: () => this.status,
    send: (messages) => {
      this.send("answer", [...messages])
      this.asked = ""
    },
    failed: () => {},
    end: () => this.end()
  })

  constructor(
    private readonly server: FakeServer & { readonly sessions: Set<FakeSession> },
    private socket: Socket,
    private readonly certificate: Certificate | undefined
  ) {
    this.attach(socket)
  }

  private attach(socket: Socket): void {
    this.socket = socket
    const requests = new Wire.Requests((code) => this.starts(code), (kind, body) => this.requested(kind, body))
    socket.on("error", () => {})
    socket.on("close", () => this.server.sessions.delete(this))
    socket.on("data", requests.take)
  }

  private starts(code: number): void {
    if (code === Wire.sslRequest) {
      if (this.certificate === undefined) return void this.socket.write("N")
      this.socket.removeAllListeners("data")
      this.socket.write("S")
      this.attach(new TLSSocket(this.socket, { isServer: true, ...this.certificate }))
    } else if (code === Wire.cancelRequest) {
      this.send("cancel", [])
      this.socket.end()
    } else {
      this.server.sessions.add(this)
      this.send("login", [...this.server.greeting])
    }
  }

  private requested(kind: string, body: Buffer): void {
    this.asked += `${kind}${body.toString("latin1")}`
    if (kind === "p") this.send("login", Wire.greeting.slice())
    else this.backend.requested(kind, body)
  }

  private outcomeOf({ text, values }: Request): Outcome {
    if (text.includes("COPY")) return { _tag: "CopyIn" }
    if (!/^\s*SELECT/i.test(text)) return done(this.command(text))
    const said = [text, ...values].join(" ")
    const token = text.includes("pg_backend_pid") ? "1234" : /tok\d+/.exec(said)?.[0] ?? null
    const rows = Array.from({ length: Number(/rows=(\d+)/.exec(said)?.[1] ?? 1) }, () => [token])
    return { _tag: "Rows", columns: [{ name: "token", oid: 25 }], rows, command: `SELECT ${rows.length}` }
  }

  private command(text: string): string {
    const tag = text.split(/[\s\0;]/)[0].toUpperCase()
    if (tag === "BEGIN") this.status = "T"
    if (tag === "COMMIT" || (tag === "ROLLBACK" && !/ TO /i.test(text))) this.status = "I"
    return tag
  }

  private send(at: Occasion["at"], messages: Array<Buffer>): void {
    this.write(Buffer.concat(this.server.onSend(messages, { at, request: this.asked, session: this })))
  }

  write(bytes: Buffer): void {
    if (this.socket.writable && bytes.length > 0) this.socket.write(bytes)
  }

  end(): void {
    this.socket.end()
  }
}
