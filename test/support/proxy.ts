/** A TCP proxy in front of a server, which can be made to fail as networks do. */
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { once } from "node:events"
import type { AddressInfo, Socket } from "node:net"
import { connect, createServer } from "node:net"

export interface Proxy {
  /** The server's address, by way of the proxy. */
  readonly url: Redacted.Redacted
  readonly port: number
  /** Connections accepted so far, and those open now. */
  readonly accepted: number
  readonly open: number
  /** Each chunk passes this late, in milliseconds. */
  delay: number
  /** Newcomers reach the server this late, in milliseconds. */
  connectDelay: number
  /** Newcomers are refused: accepted and cut at once. */
  refusing: boolean
  /** Looks at each chunk of a client before it is passed on. */
  onRequest: (chunk: Buffer) => void
  /** What passes instead of each chunk of the server's. It may also deal with the client itself, and give nothing. */
  onAnswer: (chunk: Buffer, client: Socket) => Buffer | undefined
  /** From now on nothing passes in that direction, or in none, and nobody is told. Also on new connections. */
  readonly blackhole: (direction?: "requests" | "answers") => void
  /**
   * Nothing passes any more on the connections that there are, and nobody is told: neither side of what the other does.
   * New ones are well.
   */
  readonly halfOpen: () => void
  /** Ends the black hole. What was swallowed stays lost. */
  readonly heal: () => void
  /** Ends all connections in an orderly way. */
  readonly cut: () => void
  /** Ends all connections with a RST. */
  readonly reset: () => void
}

export const start = (target: Redacted.Redacted): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => BreakableProxy.listen(Redacted.value(target))),
      (proxy) => proxy.close
    ),
    (proxy): Proxy => proxy
  )

class BreakableProxy implements Proxy {
  accepted = 0
  delay = 0
  connectDelay = 0
  refusing = false
  onRequest: Proxy["onRequest"] = () => {}
  onAnswer: Proxy["onAnswer"] = (chunk) => chunk
  private readonly swallowed = { requests: false, answers: false }
  /** With whom each client is connected, or will be. */
  private readonly pairs = new Map<Socket, Socket | undefined>()
  /** Those of `halfOpen`: both ends of each. */
  private readonly silent = new Set<Socket>()
  private readonly server = createServer((client) => this.accept(client))

  private constructor(private readonly target: URL) {}

  static async listen(target: string): Promise<BreakableProxy> {
    const proxy = new BreakableProxy(new URL(target))
    proxy.server.listen(0, "127.0.0.1")
    await once(proxy.server, "listening")
    return proxy
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get url(): Redacted.Redacted {
    const url = new URL(this.target)
    url.port = String(this.port)
    return Redacted.make(url.href)
  }

  get open(): number {
    return this.pairs.size
  }

  readonly blackhole = (direction?: "requests" | "answers"): void => {
    if (direction !== "answers") this.swallowed.requests = true
    if (direction !== "requests") this.swallowed.answers = true
  }

  readonly halfOpen = (): void => {
    for (const pair of this.pairs) for (const end of pair) if (end !== undefined) this.silent.add(end)
  }

  readonly heal = (): void => {
    this.swallowed.requests = this.swallowed.answers = false
  }

  readonly cut = (): void => {
    for (const client of this.pairs.keys()) client.end()
  }

  readonly reset = (): void => {
    for (const client of this.pairs.keys()) client.resetAndDestroy()
  }

  readonly close = Effect.promise(() => {
    for (const [client, server] of this.pairs) {
      client.destroy()
      server?.destroy()
    }
    for (const end of this.silent) end.destroy()
    return new Promise<void>((resolve) => this.server.close(() => resolve()))
  })

  private accept(client: Socket): void {
    this.accepted++
    if (this.refusing) return void client.destroy()
    this.pairs.set(client, undefined)
    client.on("error", () => {})
    client.on("close", () => this.pairs.delete(client))
    if (this.connectDelay > 0) setTimeout(() => this.join(client), this.connectDelay)
    else this.join(client)
  }

  private join(client: Socket): void {
    if (client.destroyed) return
    const server = connect(Number(this.target.port), this.target.hostname)
    this.pairs.set(client, server)
    this.pass(client, server, "requests")
    this.pass(server, client, "answers")
  }

  private pass(from: Socket, to: Socket, direction: "requests" | "answers"): void {
    from.setNoDelay(true)
    from.on("error", () => {})
    from.on("close", () => this.silent.has(from) || to.destroy())
    from.on("end", () => this.silent.has(from) || to.end())
    from.on("data", (chunk) => {
      if (direction === "requests") this.onRequest(chunk)
      const send = () => {
        if (this.swallowed[direction] || this.silent.has(from) || !to.writable) return
        const passed = direction === "requests" ? chunk : this.onAnswer(chunk, to)
        if (passed !== undefined) to.write(passed)
      }
      if (this.delay > 0) setTimeout(send, this.delay)
      else send()
    })
  }
}
