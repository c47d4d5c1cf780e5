import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { connect, createServer } from "node:net"
import { IoClock } from "../src/internal/time/ioClock.js"
import { pause } from "./support/server.js"
import { standStill } from "./support/standStill.js"

const millisOf = (clock: IoClock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6

const sleepIn = (clock: IoClock, millis: number) => Effect.fork(clock.sleep(Duration.millis(millis)))

describe("R14: the clock of I/O", () => {
  it.live("goes on as time does", () =>
    Effect.gen(function*() {
      const clock = new IoClock()
      const began = millisOf(clock)
      yield* clock.sleep(Duration.millis(150))
      assert.isAtLeast(millisOf(clock) - began, 150)
    }))

  it.live("stands still while the process does, and so do those who sleep", () =>
    Effect.gen(function*() {
      const clock = new IoClock()
      const began = millisOf(clock)
      const sleeper = yield* sleepIn(clock, 500)
      yield* pause(20)
      yield* standStill(1500)
      const late = millisOf(clock) - began
      assert.isBelow(late, 500)
      assert.isNull(sleeper.unsafePoll())
      const real = performance.now()
      yield* Fiber.join(sleeper)
      assert.isAtLeast(performance.now() - real, 500 - late - 1)
    }))

  it.live("lets sockets be read before a sleep ends, and what was closed tell so", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const server = createServer((socket) => socket.on("data", () => socket.end("answer"))).listen(0, "127.0.0.1")
      yield* Effect.promise(() => once(server, "listening"))
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1")
      socket.on("data", () => told.push("data")).on("close", () => told.push("close"))
      yield* Effect.promise(() => once(socket, "connect"))
      const sleeper = yield* sleepIn(new IoClock(), 40)
      socket.write("question")
      // The server is in this process: it has its turn, and the answer comes when nobody looks.
      yield* Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
      yield* standStill(80)
      yield* Fiber.join(sleeper)
      assert.include(told, "data")
      server.close()
    }))

  it.live("an interrupt ends a sleep, and nothing of it keeps a process alive", () =>
    Effect.gen(function*() {
      const clock = new IoClock()
      yield* Fiber.interrupt(yield* sleepIn(clock, 60_000))
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
      const before = timers()
      const sleeper = yield* sleepIn(clock, 60_000)
      yield* Fiber.interrupt(sleeper)
      assert.isAtMost(timers(), before)
      assert.isFalse(
        yield* Effect.isFailure(Effect.timeoutFail(clock.sleep(Duration.zero), {
          duration: "10 seconds",
          onTimeout: () => "it never ended"
        }))
      )
    }))
})
