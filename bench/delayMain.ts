// The process of delay.ts: host, port and milliseconds; prints its own port, and goes when its standard input ends.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Redacted } from "effect"
import { once } from "node:events"
import * as Proxy from "../src/internal/testing/proxy.js"

const [host, port, millis] = process.argv.slice(2)

Effect.gen(function*() {
  const proxy = yield* Proxy.start(Redacted.make(`postgres://${host}:${port}`))
  proxy.delay = Number(millis)
  yield* Console.log(proxy.port)
  yield* Effect.promise(() => once(process.stdin.resume(), "end"))
}).pipe(Effect.scoped, NodeRuntime.runMain)
