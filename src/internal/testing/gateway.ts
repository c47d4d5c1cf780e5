/** @internal */
import type { NetConnectOpts } from "node:net"
import { isIP, Socket } from "node:net"
import { Network } from "./network.js"
import { Listener, realTime } from "./proxy.js"

/**
 * The way from the sockets of a program to whatever servers they are opened to. Each server gets a listener when the first
 * socket is opened to it.
 *
 * @internal
 */
export class Gateway {
  readonly network = new Network(realTime)
  private readonly listeners = new Map<string, Listener>()
  private readonly made = new Set<Socket>()

  /** The program's own ends of all connections that have come to a listener. */
  readonly sockets = (): ReadonlyArray<Socket> =>
    [...this.made].filter(({ localPort }) => localPort !== undefined && this.network.hasClientAt(localPort))

  /** A socket that does not connect to where it is told, but to a listener that leads there. */
  readonly socket = (): Socket => {
    const socket = new Socket()
    this.made.add(socket.once("close", () => this.made.delete(socket)))
    const connect = socket.connect.bind(socket)
    const detour = (port: number | string, host?: string): Socket => {
      const to = typeof port === "string" ? { path: port } : { port, host: host ?? "localhost" }
      if (this.network.refusing) process.nextTick(() => socket.destroy(refused(to)))
      else if (this.leadsTo(to)) connect(to)
      else this.listenerTo(to).whenListening((port) => socket.destroyed || connect({ port, host: "127.0.0.1" }))
      return socket
    }
    return Object.assign(socket, { connect: detour })
  }

  readonly close = (): void => {
    this.network.destroy()
    for (const listener of this.listeners.values()) listener.close()
  }

  /** The program hears what it would have heard without the detour. */
  private readonly unreached = (error: Error, port: number | undefined): void => {
    for (const socket of this.made) if (socket.localPort === port) socket.destroy(error)
  }

  /** A request to cancel goes to the address that its session is connected to: that of a listener. */
  private leadsTo(to: NetConnectOpts): boolean {
    return "port" in to && to.host === "127.0.0.1" &&
      [...this.listeners.values()].some(({ port }) => port === to.port)
  }

  private listenerTo(to: NetConnectOpts): Listener {
    const key = JSON.stringify(to)
    const listener = this.listeners.get(key) ?? new Listener(this.network, to, this.unreached)
    this.listeners.set(key, listener)
    return listener
  }
}

/** What Node says of a server that does not listen. @internal */
export const refused = (to: NetConnectOpts): Error => {
  const place = "path" in to ? to.path : isIP(to.host ?? "") === 6 ? `[${to.host}]:${to.port}` : `${to.host}:${to.port}`
  return Object.assign(new Error(`connect ECONNREFUSED ${place}`), { code: "ECONNREFUSED", syscall: "connect", ...to })
}
