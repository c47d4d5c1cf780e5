// The same pool for something that is no database: connections to an echo server.
//   npx tsx examples/pool-of-anything.ts
import { NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect } from "effect"
import { ElasticPool } from "effect-pgpool"
import { once } from "node:events"
import * as Net from "node:net"

class SocketError extends Data.TaggedError("SocketError")<{ readonly cause: unknown }> {}

const attempt = <A>(evaluate: (signal: AbortSignal) => Promise<A>) =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new SocketError({ cause }) })

const startServer = Effect.gen(function*() {
  const server = Net.createServer((socket) => socket.pipe(socket))
  yield* attempt(() => once(server.listen(0, "127.0.0.1"), "listening"))
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  return (server.address() as Net.AddressInfo).port
})

/** Any scoped effect can be pooled. This one makes a socket that is destroyed at the end, and waits until it is open. */
const connect = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => Net.connect(port, "127.0.0.1").setEncoding("utf8").on("error", () => {})),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(Effect.tap((socket) => attempt((signal) => once(socket, "connect", { signal }))))

const echo = (socket: Net.Socket, text: string) =>
  attempt(async (signal) => {
    const answer = once(socket, "data", { signal })
    socket.write(text)
    return `${(await answer)[0]}`
  })

const program = Effect.gen(function*() {
  const port = yield* startServer
  const pool = yield* ElasticPool.make({
    acquire: connect(port),
    // Runs before a socket that was idle for a while is lent again.
    check: (socket) => socket.writable ? Effect.void : Effect.fail(new SocketError({ cause: "The socket has ended" })),
    maxsize: 2,
    maxwait: "50 millis",
    maxoverflow: 4,
    acquireTimeout: "5 seconds"
  })
  const answers = yield* Effect.forEach(
    Array.from({ length: 100 }, (_, i) => `hello ${i}`),
    // A socket whose answer was not read is of no use to the next borrower: it is closed.
    (text) => pool.use((socket) => Effect.onError(echo(socket, text), () => pool.invalidate(socket))),
    { concurrency: "unbounded" }
  )
  yield* Console.log(`${answers.length} answers, from ${answers.at(0)} to ${answers.at(-1)}`)
  const { acquired, idle, opened } = yield* pool.stats
  yield* Console.log(`${acquired} leases of ${opened} connections, ${idle} are kept`)
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
