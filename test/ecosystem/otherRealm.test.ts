/** Test runners such as Jest run programs in a context of their own, with another `Error` than that of Node's modules. */
import { Reactivity } from "@effect/experimental"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { PgPool } from "effect-pgpool"
import { runInNewContext } from "node:vm"
import { serverUrl } from "../support/pgPool.js"

it.scopedLive("R31: an error of another context keeps its words, with or without a code", () =>
  Effect.gen(function*() {
    const foreign: Error = runInNewContext("new Error('connect EHOSTDOWN 10.0.0.1:8200')")
    assert.notInstanceOf(foreign, Error)
    for (const error of [foreign, Object.assign(foreign, { code: "EHOSTDOWN" })]) {
      const failure = yield* Effect.flip(
        PgPool.make({ url: serverUrl, password: Effect.fail(error), eager: true })
      )
      assert.strictEqual(
        failure.message,
        "Failed to connect: the password could not be had: connect EHOSTDOWN 10.0.0.1:8200"
      )
    }
  }).pipe(Effect.provide(Reactivity.layer)))
