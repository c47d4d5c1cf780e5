/** @internal */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import type { Watched } from "../../Dashboard.js"
import { files, send } from "./files.js"
import type { Guard } from "./guard.js"
import { guardOf, needsToken } from "./guard.js"
import { live } from "./live.js"
import type { PageOptions } from "./options.js"

/** The pools of the page, each known by its place in the list. @internal */
export type Pools = Effect.Effect<ReadonlyArray<Watched>>

/**
 * The page and its data, by paths that fit under any prefix. The files of the page have no secrets: only the data need
 * the token.
 *
 * @internal
 */
export const routes = (pools: Pools, { token }: Pick<PageOptions, "token">): HttpRouter.HttpRouter => {
  const guard = guardOf(token)
  return [...files].reduce(
    (router, [name, file]) => HttpRouter.get(router, `/${name}`, send(file)),
    HttpRouter.empty.pipe(
      HttpRouter.get("/", index),
      HttpRouter.get("/pools", guarded(guard, list(pools))),
      HttpRouter.get("/pools/:index", guarded(guard, watch(pools)))
    )
  )
}

/** Relative paths need the slash at the end. */
const index = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ originalUrl }) => {
  const [path] = originalUrl.split("?")
  return path.endsWith("/")
    ? send(files.get("index.html")!)
    : HttpServerResponse.empty({ status: 308, headers: { location: `./${path.split("/").at(-1)}/` } })
})

const guarded = <E, R>(guard: Guard, answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request): typeof answer => guard(request) ? answer : Effect.succeed(needsToken)
  )

/** What is told at one instant is of no use later, nor to anybody else. */
const headers = { "cache-control": "no-store", "x-content-type-options": "nosniff", "x-accel-buffering": "no" }

const list = (pools: Pools) =>
  Effect.map(
    Effect.flatMap(pools, (pools) => Effect.forEach(pools, (pool) => pool.stats)),
    (stats) => HttpServerResponse.unsafeJson(stats.map(({ name, state }) => ({ name, state })), { headers })
  )

const watch = (pools: Pools) =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { index = "" } = yield* HttpRouter.params
    const pool = /^\d+$/.test(index) ? (yield* pools)[Number(index)] : undefined
    return pool === undefined
      ? HttpServerResponse.unsafeJson({ error: "there is no such pool" }, { status: 404, headers })
      : HttpServerResponse.stream(live(pool, () => isClosing(request)), { contentType: "text/event-stream", headers })
  })

/** Whether the server of a request waits for the last answers: it must not wait for those who watch. */
const isClosing = ({ source }: HttpServerRequest.HttpServerRequest): boolean => {
  const { socket } = source as { readonly socket?: { readonly server?: { readonly listening?: boolean } } }
  return socket?.server?.listening === false
}
