/** Plays a load against a pool in virtual time. */
import type { VirtualCaller, VirtualLoan, VirtualPool, VirtualTime } from "effect-pgpool/Testing"
import * as Testing from "effect-pgpool/Testing"
import { Histogram } from "./histogram.js"
import type { Arrival, Load, Outage, Outcome } from "./model.js"
import type { Server } from "./server.js"
import { makeServer } from "./server.js"

/** What connects are like. */
export interface Connects {
  /** How long one takes that begins now, in milliseconds. */
  readonly connect: () => number
  /** Whether one succeeds that ends now. */
  readonly opens: () => boolean
}

/** A pool that is played against, this one or another. */
export type Played = Pick<VirtualPool, "request" | "breakConnections" | "connections" | "close">

export interface Scene {
  readonly load: Load
  readonly seed: number
  readonly pool: (time: VirtualTime, connects: Connects) => Played
  /** What a connect takes at a time, in milliseconds. */
  readonly connect: (now: number) => number
  readonly outages?: ReadonlyArray<Outage> | undefined
  /** The statements that run share so many cores. */
  readonly serverCores?: number | undefined
  /** Which part of a hold the server works. In the rest of it the connection waits for its caller. */
  readonly serverPart?: number | undefined
  readonly onProgress?: ((done: number) => void) | undefined
}

export interface Figures extends Omit<Outcome, "candidate" | "queueGrowth"> {
  /** The holds of all requests, summed. Milliseconds. */
  readonly held: number
}

/** Tells its progress so many times. */
const steps = 200

/** How far apart looks are at whether all requests have ended, in milliseconds. */
const untilAllEnded = 1000

export const play = (scene: Scene): Figures => {
  const { connect, load, onProgress, outages = [], seed } = scene
  const time = Testing.virtualTime({ seed })
  const isDown = () => outages.some(({ at, length }) => time.now >= at && time.now < at + length)
  const pool = scene.pool(time, { connect: () => connect(time.now), opens: () => !isDown() })
  const books = new Books(time, makeServer(time, scene.serverCores), scene.serverPart ?? 1)
  for (const { at } of outages) time.after(at, pool.breakConnections)
  time.each(load.arrivals(seed), (arrival) => pool.request(books.request(arrival)))
  for (let step = 1; step <= steps; step++) {
    time.runUntil(load.duration * step / steps)
    onProgress?.(step / steps)
  }
  const { mean } = pool.connections()
  while (books.running > 0) time.runUntil(time.now + untilAllEnded)
  const { begun, peak } = pool.connections()
  // What is left of it would stay in memory.
  pool.close()
  time.runUntil(time.now + untilAllEnded)
  return { ...books.figures(), meanConnections: mean, peakConnections: peak, connects: begun }
}

/** What becomes of the requests. */
class Books {
  readonly waits = new Histogram()
  running = 0
  private requests = 0
  refused = 0
  failed = 0
  private held = 0

  constructor(readonly time: VirtualTime, readonly server: Server, readonly serverPart: number) {}

  request({ hold }: Arrival): VirtualCaller {
    this.running++
    this.requests++
    this.held += hold
    return new Request(this, hold)
  }

  figures(): Omit<Figures, "meanConnections" | "peakConnections" | "connects"> {
    const { failed, held, refused, requests, waits } = this
    const [p50, p99, p999] = [0.5, 0.99, 0.999].map((part) => waits.quantile(part))
    return { requests, held, wait: { mean: waits.mean, p50, p99, p999, max: waits.max }, refused, failed }
  }
}

class Request implements VirtualCaller {
  private readonly asked: number
  private callOff: () => void = () => {}

  constructor(private readonly books: Books, private readonly hold: number) {
    this.asked = books.time.now
  }

  lent(loan: VirtualLoan): void {
    const { server, serverPart, time, waits } = this.books
    waits.add(time.now - this.asked)
    const end = () => {
      this.books.running--
      loan.end()
    }
    const rest = this.hold * (1 - serverPart)
    this.callOff = server.run(this.hold * serverPart, rest === 0 ? end : () => this.callOff = time.after(rest, end))
  }

  refused(): void {
    this.books.running--
    this.books.refused++
  }

  lost(loan: VirtualLoan): void {
    this.callOff()
    this.books.running--
    this.books.failed++
    loan.end()
  }
}
