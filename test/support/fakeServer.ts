/** A server that speaks the protocol and knows nothing else, for what a real one would never send. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { once } from "node:events"
import type { AddressInfo, Socket } from "node:net"
import { createServer } from "node:net"
import { TLSSocket } from "node:tls"
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

interface Portal {
  readonly text: string
  rowsLeft: number
}

/**
 * Of a statement it understands `rows=N`, and a `tokN` anywhere in it or in its parameters, which is in all of its rows.
 */
export class FakeSession {
  private status = "I"
  private pending: Array<Buffer> = []
  /** What is answered with the next flush. */
  private asked = ""
  private readonly statements = new Map<string, string>()
  private readonly portals = new Map<string, Portal>()
  private copying: "simple" | "extended" | undefined

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
    const content = body.toString("latin1")
    this.asked += `${kind}${content}`
    switch (kind) {
      case "p":
        return this.send("login", Wire.greeting.slice())
      case "X":
        return void this.socket.end()
      case "Q":
        this.pending = this.pending.concat(this.simple(content))
        return this.copying === undefined ? this.isReady() : this.flush()
      case "P": {
        const [name, text] = content.split("\0")
        this.statements.set(name, text)
        return void this.pending.push(Wire.message("1"))
      }
      case "B": {
        const [portal, statement] = content.split("\0")
        const text = `${this.statements.get(statement)}${content}`
        this.portals.set(portal, { text, rowsLeft: rowsOf(text) })
        return void this.pending.push(Wire.message("2"))
      }
      case "D":
        return void this.pending.push(isSelect(this.portal(content.slice(1)).text) ? columns : Wire.message("n"))
      case "E":
        return void (this.pending = this.pending.concat(this.execute(body)))
      case "C":
        return void this.pending.push(Wire.message("3"))
      case "H":
        return this.flush()
      case "S":
        return this.copying === undefined ? this.isReady() : this.flush()
      case "f": {
        const was = this.copying
        this.copying = undefined
        this.pending.push(Wire.error("57014", "COPY from stdin failed"))
        return was === "simple" ? this.isReady() : this.flush()
      }
    }
  }

  private portal(content: string): Portal {
    return this.portals.get(content.split("\0")[0]) ?? { text: "", rowsLeft: 0 }
  }

  private simple(text: string): Array<Buffer> {
    if (text.includes("COPY")) {
      this.copying = "simple"
      return [copyIn]
    }
    if (!isSelect(text)) return [this.command(text)]
    const rows = Array.from({ length: rowsOf(text) }, () => rowFor(text))
    return [columns, ...rows, Wire.complete(`SELECT ${rows.length}`)]
  }

  private command(text: string): Buffer {
    const tag = text.split(/[\s\0;]/)[0].toUpperCase()
    if (tag === "BEGIN") this.status = "T"
    if (tag === "COMMIT" || (tag === "ROLLBACK" && !/ TO /i.test(text))) this.status = "I"
    return Wire.complete(tag)
  }

  private execute(body: Buffer): Array<Buffer> {
    const portal = this.portal(body.toString("latin1"))
    if (portal.text.includes("COPY")) {
      this.copying = "extended"
      return [copyIn]
    }
    if (!isSelect(portal.text)) return [this.command(portal.text)]
    const count = Math.min(portal.rowsLeft, body.readInt32BE(body.length - 4) || Infinity)
    portal.rowsLeft -= count
    const rows = Array.from({ length: count }, () => rowFor(portal.text))
    return [...rows, portal.rowsLeft > 0 ? Wire.message("s") : Wire.complete(`SELECT ${count}`)]
  }

  private isReady(): void {
    this.pending.push(Wire.ready(this.status))
    this.flush()
  }

  private flush(): void {
    this.send("answer", this.pending.splice(0))
    this.asked = ""
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

const columns = Wire.rowDescription(["token"])
const copyIn = Wire.message("G", Buffer.from([0]), Wire.int16(1), Wire.int16(0))
const isSelect = (text: string): boolean => /^\s*SELECT/i.test(text)
const rowsOf = (text: string): number => Number(/rows=(\d+)/.exec(text)?.[1] ?? 1)
const rowFor = (text: string): Buffer =>
  Wire.dataRow([text.includes("pg_backend_pid") ? "1234" : /tok\d+/.exec(text)?.[0] ?? null])
