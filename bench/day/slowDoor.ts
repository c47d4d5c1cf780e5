/** A way to a server on which connects take longer, and nothing else does. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { once } from "node:events"
import type { AddressInfo, Socket } from "node:net"
import { connect, createServer } from "node:net"

export interface SlowDoor {
  readonly url: string
  /** By so many milliseconds. */
  delay: number
  /** Connects so far. */
  connects: number
}

export const open = (target: string): Effect.Effect<SlowDoor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { hostname, port } = new URL(target)
    const sockets = new Set<Socket>()
    const accept = (client: Socket) => {
      door.connects++
      keep(client)
      setTimeout(() => {
        if (!client.destroyed) join(client, keep(connect({ port: Number(port), host: hostname, noDelay: true })))
      }, door.delay)
    }
    const keep = (socket: Socket): Socket => {
      sockets.add(socket)
      // Whatever ends it, its other side ends too.
      return socket.on("error", () => {}).on("close", () => sockets.delete(socket))
    }
    const server = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const server = createServer({ noDelay: true }, accept).listen(0, "127.0.0.1")
        await once(server, "listening")
        return server
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const url = new URL(target)
    url.port = String((server.address() as AddressInfo).port)
    const door: SlowDoor = { url: url.href, delay: 0, connects: 0 }
    return door
  })

const join = (client: Socket, server: Socket): void => {
  client.on("close", () => server.destroy()).pipe(server)
  server.on("close", () => client.destroy()).pipe(client)
}
