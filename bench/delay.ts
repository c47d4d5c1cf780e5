/** A slow network: a proxy in a process of its own, which delays each chunk and keeps their order. */
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Pg from "pg"
import { median } from "simple-statistics"
import { watch } from "../test/support/server.js"
import * as Child from "./child.js"

/** The server's address, so many milliseconds away in each direction. */
export const delayed = (url: string, millis: number): Effect.Effect<string, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { host, port } = new Pg.Client(url)
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, Child.args("./delayMain.ts", host, String(port), String(millis)), {
          stdio: ["pipe", "pipe", "inherit"]
        })
      ),
      (child) =>
        Effect.promise(async () => {
          const exited = once(child, "exit")
          child.stdin.end()
          await exited
        })
    )
    const [own] = yield* Effect.promise(() => once(child.stdout, "data"))
    const address = new URL(url)
    address.hostname = "127.0.0.1"
    address.port = String(own).trim()
    return address.href
  })

/** Milliseconds that one query alone takes. */
export const roundTrip = (url: string): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { query } = yield* watch(Redacted.make(url))
    const times: Array<number> = []
    for (let i = 0; i < 50; i++) {
      const started = performance.now()
      yield* query("SELECT 1")
      times.push(performance.now() - started)
    }
    return median(times)
  }).pipe(Effect.scoped)
