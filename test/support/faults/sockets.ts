/** The sockets of a client: how many it has open, and has had at most. */
import { Socket } from "node:net"

/** A cancel goes over a socket of its own, which is no session of the server (R16). */
const isForCancel = () => /internal\/postgres\/driver\/cancel\b/.test(new Error().stack ?? "")

export class Sockets {
  most = 0
  /** Dials so far: when each began. */
  readonly dials: Array<number> = []
  private readonly sessions = new Map<Socket, number>()

  /** Destroyed is closed for the system; the event comes later. */
  get open(): number {
    for (const socket of this.sessions.keys()) if (socket.destroyed) this.sessions.delete(socket)
    return this.sessions.size
  }

  /** For the `stream` of a client. */
  readonly make = (): Socket => {
    const socket = new Socket()
    if (isForCancel()) return socket
    const now = performance.now()
    this.sessions.set(socket, now)
    this.most = Math.max(this.most, this.open)
    this.dials.push(now)
    return socket
  }

  /** Milliseconds since the dial of the oldest that is open. */
  get age(): number {
    return this.open === 0 ? 0 : performance.now() - Math.min(...this.sessions.values())
  }

  dialsBetween(from: number, to: number): number {
    return this.dials.filter((at) => at >= from && at < to).length
  }
}
