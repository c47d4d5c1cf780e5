/** @internal */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import type { AddressInfo, NetConnectOpts, Socket } from "node:net"
import { connect, createServer } from "node:net"
import { timeOf } from "../time/time.js"
import { Network } from "./network.js"

/** A port that leads to a server by way of a network. It listens as soon as it is made. @internal */
export class Listener {
  private readonly server = createServer((client) =>
    this.network.accept(client.setNoDelay(true), () => this.dial(client.remotePort))
  )

  constructor(
    private readonly network: Network,
    private readonly target: NetConnectOpts,
    /** The server could not be reached, for the client whose socket has that port. */
    private readonly onUnreached: (error: Error, clientPort: number | undefined) => void = () => {}
  ) {
    this.server.listen(0, "127.0.0.1")
  }

  /** 0 until it listens. */
  get port(): number {
    return (this.server.address() as AddressInfo | null)?.port ?? 0
  }

  /** Calls back with the port, at once if it is known. */
  whenListening(callback: (port: number) => void): void {
    if (this.server.listening) callback(this.port)
    else this.server.once("listening", () => callback(this.port))
  }

  private dial(clientPort: number | undefined): Socket {
    const unreached = (error: Error) => this.onUnreached(error, clientPort)
    const server = connect(this.target).setNoDelay(true).once("error", unreached)
    return server.once("connect", () => server.off("error", unreached))
  }

  /** Accepts no more clients. */
  close(): void {
    this.server.close()
  }
}

/** Real time, for what stands beside all pools. @internal */
export const realTime = timeOf(Runtime.defaultRuntime, Clock.make())

/** A server's address by way of a network of its own. @internal */
export class Proxy extends Network {
  readonly listener: Listener

  constructor(private readonly target: URL) {
    super(realTime)
    this.listener = new Listener(this, { port: Number(target.port), host: target.hostname })
  }

  get port(): number {
    return this.listener.port
  }

  get url(): Redacted.Redacted {
    const url = new URL(this.target)
    url.port = String(this.port)
    return Redacted.make(url.href)
  }
}

/** @internal */
export const start = (target: Redacted.Redacted): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.tap(
    Effect.acquireRelease(
      Effect.sync(() => new Proxy(new URL(Redacted.value(target)))),
      (proxy) =>
        Effect.sync(() => {
          proxy.destroy()
          proxy.listener.close()
        })
    ),
    ({ listener }) => Effect.async<void>((resume) => listener.whenListening(() => resume(Effect.void)))
  )
