import { HttpRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { createServer, request } from "node:http"
import * as Program from "../support/program.js"

const makeAny = ElasticPool.make({ acquire: Effect.succeed({}), name: "things" })

const token = Redacted.make("a-token-of-sixteen-or-more")

/** `fetch` does not let its caller say which host it means. */
const get = (port: number, path: string, headers: Record<string, string> = {}) =>
  Effect.async<{ readonly status: number | undefined; readonly body: string }, Error>((resume) => {
    const sent = request({ host: "127.0.0.1", port, path, headers }, (response) => {
      let body = ""
      response.on("data", (part) => {
        body += part
      })
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode, body })))
    })
    sent.on("error", (error) => resume(Effect.fail(error)))
    sent.end()
  })

const messageOf = (options: any) =>
  Effect.map(
    Effect.exit(Effect.scoped(Layer.build(Dashboard.layer(options)))),
    (exit) => Exit.isSuccess(exit) ? "it was served" : String((Cause.squash(exit.cause) as Error).message)
  )

/** Somebody who looks on until the server ends it. */
const look = (port: number, path: string) =>
  Effect.gen(function*() {
    const response = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`))
    const reader = response.body!.getReader()
    yield* Effect.promise(() => reader.read())
    return Effect.promise(async () => {
      try {
        while (!(await reader.read()).done);
      } catch {
        // It was cut off.
      }
    })
  })

describe("R44: the page by a server of its own", () => {
  it.scopedLive("it is served on this machine, to those who mean this machine", () =>
    Effect.gen(function*() {
      const port = yield* Program.freePort
      yield* Layer.build(Dashboard.layer({ pools: [yield* makeAny], port }))
      for (const host of ["localhost", "127.0.0.1", "[::1]", `localhost:${port}`, "127.9.9.9", "pool.localhost"]) {
        assert.strictEqual((yield* get(port, "/pools", { host })).status, 200, host)
      }
      for (
        const host of ["evil.example", `evil.example:${port}`, "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io"]
      ) {
        for (const path of ["/", "/pools", "/pools/0", "/main.js"]) {
          const { body, status } = yield* get(port, path, { host })
          assert.strictEqual(status, 403, host)
          assert.notInclude(body, "things")
        }
      }
      assert.strictEqual((yield* get(port, "/else")).status, 404)
    }))

  it.scopedLive("with a token it is served anywhere, under any name", () =>
    Effect.gen(function*() {
      const port = yield* Program.freePort
      yield* Layer.build(Dashboard.layer({ pools: [yield* makeAny], port, host: "0.0.0.0", token }))
      const authorization = `Bearer ${Redacted.value(token)}`
      assert.strictEqual((yield* get(port, "/pools", { host: "pool.internal" })).status, 401)
      assert.strictEqual((yield* get(port, "/pools", { host: "pool.internal", authorization })).status, 200)
    }))

  it.scopedLive("an option that is not allowed is named", () =>
    Effect.gen(function*() {
      const pools = [yield* makeAny]
      for (const host of ["0.0.0.0", "::", "10.1.2.3", "example.com"]) {
        assert.match(yield* messageOf({ pools, host }), /^host: .*where no token is given.*Set token/, host)
      }
      for (const host of [7, "", "a b"]) assert.match(yield* messageOf({ pools, host, token }), /^host: .*an address/)
      for (const port of [-1, 65536, 1.5, "80"]) {
        assert.match(yield* messageOf({ pools, port }), /^port: .*from 0 to 65535/, `${port}`)
      }
      assert.match(yield* messageOf({ pools, token: "not redacted" }), /^token: .*a Redacted text/)
      assert.match(yield* messageOf({ pools: "all" }), /^pools: /)
    }))

  it.scopedLive("a port that is in use fails the layer, and says so", () =>
    Effect.gen(function*() {
      const pools = [yield* makeAny]
      const port = yield* Program.freePort
      yield* Layer.build(Dashboard.layer({ pools, port }))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Dashboard.layer({ pools, port }))))
      assert.strictEqual(error._tag, "ServeError")
      assert.include(String((error.cause as Error).message), "EADDRINUSE")
    }))

  it.scopedLive("its end waits for nobody who looks", () =>
    Effect.gen(function*() {
      const pools = [yield* makeAny]
      const port = yield* Program.freePort
      const scope = yield* Scope.make()
      yield* Scope.extend(Layer.build(Dashboard.layer({ pools, port })), scope)
      const looked = yield* look(port, "/pools/0")
      yield* Effect.timeout(Scope.close(scope, Exit.void), "10 seconds")
      yield* Effect.timeout(looked, "10 seconds")
    }))
})

describe("R44: the page in a server of the application", () => {
  it.scopedLive("a server that is closed does not wait for those who look", () =>
    Effect.gen(function*() {
      const pool = yield* makeAny
      const scope = yield* Scope.make()
      const app = HttpRouter.empty.pipe(HttpRouter.mount("/pool", Dashboard.router({ pools: [pool] })))
      const server = createServer()
      yield* Scope.extend(
        Layer.build(Layer.provide(HttpServer.serve(app), NodeHttpServer.layer(() => server, { port: 0 }))),
        scope
      )
      const { port } = server.address() as { readonly port: number }
      const looked = yield* look(port, "/pool/pools/0")
      yield* Effect.timeout(Scope.close(scope, Exit.void), "15 seconds")
      yield* Effect.timeout(looked, "10 seconds")
    }))
})
