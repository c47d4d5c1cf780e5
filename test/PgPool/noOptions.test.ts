import { Reactivity } from "@effect/experimental"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, Effect, Exit, Layer, Option, Redacted } from "effect"
import { ElasticPool, PgPool } from "effect-pgpool"

const url = "postgresql://me:secret@localhost/app"

describe("R25: what is no object of options", () => {
  const kinds: ReadonlyArray<readonly [value: unknown, kind: string]> = [
    [url, "a string"],
    [Redacted.make(url), "a Redacted"],
    [[{ url }], "an array"],
    [null, "null"],
    [undefined, "undefined"],
    [5, "a number"],
    [() => ({ url }), "a function"],
    [Promise.resolve({ url }), "a Promise"],
    [Effect.succeed({ url }), "an Effect"],
    [Config.string("URL"), "an Effect"],
    [Option.some({ url }), "an Effect"]
  ]
  for (const [value, kind] of kinds) {
    const options = value as never
    const makers: Record<string, () => Effect.Effect<unknown, unknown, never>> = {
      layer: () => Effect.scoped(Layer.build(PgPool.layer(options))),
      make: () => Effect.scoped(Effect.provide(PgPool.make(options), Reactivity.layer)),
      fromPgClientConfig: () => Effect.sync(() => PgPool.fromPgClientConfig(options)),
      "ElasticPool.make": () => Effect.scoped(ElasticPool.make(options) as Effect.Effect<unknown>)
    }
    for (const [name, make] of Object.entries(makers)) {
      it.effect(`${name}: ${kind} is refused, and not shown`, () =>
        Effect.gen(function*() {
          const exit = yield* Effect.exit(Effect.suspend(make))
          assert.isTrue(Exit.isFailure(exit))
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.isTrue(Cause.isIllegalArgumentException(error))
          assert.match(String(error), new RegExp(`The options must be an object, such as \\{.*\\}, and not ${kind}$`))
          assert.notInclude(String(error), "secret")
        }))
    }
  }
})
