/** @internal */
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Time } from "../time/time.js"
import { after } from "../time/time.js"

/** @internal */
export type Direction = "requests" | "answers"

/** One end of a connection: a socket, or what stands for one. @internal */
export interface End extends Duplex {
  readonly resetAndDestroy: () => unknown
}

/**
 * All connections between clients and their server, which can be made to fail as networks do. It knows nothing of what
 * passes.
 *
 * @internal
 */
export class Network {
  /** Connections accepted so far. */
  accepted = 0
  /** Each chunk passes this late, in milliseconds. */
  delay = 0
  /** Newcomers reach the server this late, in milliseconds. */
  connectDelay = 0
  /** Newcomers are refused: accepted and cut at once. */
  refusing = false
  /** Looks at each chunk of a client before it is passed on. */
  onRequest: (chunk: Buffer) => void = () => {}
  /** What passes instead of each chunk of the server's. It may also deal with the client itself, and give nothing. */
  onAnswer: (chunk: Buffer, client: End) => Buffer | undefined = (chunk) => chunk
  /** Nothing moves, and nobody is told. */
  private isHeld = false
  private readonly swallowed = { requests: false, answers: false }
  /** With whom each client is connected, or will be. */
  private readonly pairs = new Map<End, End | undefined>()
  /** Those of `halfOpen`: both ends of each. */
  private readonly silent = new Set<End>()
  private readonly ways = new Set<Way>()

  constructor(readonly time: Time) {}

  /** Connections open now. */
  get open(): number {
    return this.pairs.size
  }

  /** Whether the client whose socket has this port is connected. */
  hasClientAt(port: number): boolean {
    return [...this.pairs.keys()].some((client) => client instanceof Socket && client.remotePort === port)
  }

  /** Nothing passes until `release`, in both directions and on new connections, and nobody is told. */
  readonly hold = (): void => {
    this.isHeld = true
  }

  /** What was held back arrives. */
  readonly release = (): void => {
    this.isHeld = false
    for (const way of this.ways) way.move()
  }

  /** From now on nothing passes in that direction, or in none, and nobody is told. Also on new connections. */
  readonly blackhole = (direction?: Direction): void => {
    if (direction !== "answers") this.swallowed.requests = true
    if (direction !== "requests") this.swallowed.answers = true
  }

  /** Ends the black hole. What was swallowed stays lost. */
  readonly heal = (): void => {
    this.swallowed.requests = this.swallowed.answers = false
  }

  /**
   * Nothing passes any more on the connections that there are, and nobody is told: neither side of what the other does.
   * New ones are well.
   */
  readonly halfOpen = (): void => {
    for (const pair of this.pairs) for (const end of pair) if (end !== undefined) this.silent.add(end)
  }

  /** Ends all connections in an orderly way. */
  readonly cut = (): void => {
    for (const client of this.pairs.keys()) client.end()
  }

  /** Ends all connections with a RST. */
  readonly reset = (): void => {
    for (const client of this.pairs.keys()) client.resetAndDestroy()
  }

  /** Leaves nothing open. */
  readonly destroy = (): void => {
    for (const pair of this.pairs) for (const end of pair) end?.destroy()
    for (const end of this.silent) end.destroy()
  }

  /** A client is there, and is to be connected with what `dial` gives. */
  accept(client: End, dial: () => End): void {
    this.accepted++
    if (this.refusing) return void client.destroy()
    this.pairs.set(client, undefined)
    client.on("error", () => {})
    client.on("close", () => this.pairs.delete(client))
    const join = () => {
      if (!client.destroyed) this.join(client, dial())
    }
    if (this.connectDelay > 0) after(this.time, this.connectDelay, join)
    else join()
  }

  private join(client: End, server: End): void {
    this.pairs.set(client, server)
    this.pass(client, server, "requests")
    this.pass(server, client, "answers")
  }

  private pass(from: End, to: End, direction: Direction): void {
    const way = new Way(this.time, () => this.isHeld)
    this.ways.add(way)
    from.on("error", () => {})
    from.on("data", (chunk: Buffer) => {
      if (direction === "requests") this.onRequest(chunk)
      way.send(this.delay, () => {
        if (this.swallowed[direction] || this.silent.has(from) || !to.writable) return
        const passed = direction === "requests" ? chunk : this.onAnswer(chunk, to)
        if (passed !== undefined) to.write(passed)
      })
    })
    from.on("end", () => way.send(this.delay, () => this.silent.has(from) || to.end()))
    from.on("close", () =>
      way.send(this.delay, () => {
        this.ways.delete(way)
        if (!this.silent.has(from)) to.destroy()
      }))
  }
}

/** What travels in one direction of one connection arrives in the order in which it was sent. */
class Way {
  private readonly underWay: Array<{ readonly due: number; readonly arrive: () => void }> = []
  private isWaiting = false

  constructor(private readonly time: Time, private readonly isHeld: () => boolean) {}

  send(delay: number, arrive: () => void): void {
    this.underWay.push({ due: this.time.now() + delay, arrive })
    this.move()
  }

  move(): void {
    while (!this.isWaiting && this.underWay.length > 0 && !this.isHeld()) {
      const left = this.underWay[0].due - this.time.now()
      if (left > 0) this.moveAfter(left)
      else this.underWay.shift()!.arrive()
    }
  }

  private moveAfter(millis: number): void {
    this.isWaiting = true
    after(this.time, millis, () => {
      this.isWaiting = false
      this.move()
    })
  }
}
