/**
 * A live page of the pool: who holds the connections, why callers wait, and what has happened. It only reads.
 *
 * It is not part of the index, so that only those who use it load what serves it:
 * `import * as Dashboard from "effect-pgpool/Dashboard"`.
 *
 * @since 0.1.0
 */
import type * as HttpRouter from "@effect/platform/HttpRouter"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { PageOptions } from "./internal/dashboard/options.js"
import { decodePage, decodePlace } from "./internal/dashboard/options.js"
import type { Pools } from "./internal/dashboard/routes.js"
import { routes } from "./internal/dashboard/routes.js"
import { serve } from "./internal/dashboard/serve.js"
import { attempt, orDie, orThrow } from "./internal/decode.js"
import { PgPool } from "./PgPool.js"

/**
 * What the page needs of a pool: a `PgPool` has it, and so has an `ElasticPool`, for which there is no server to ask.
 *
 * @since 0.1.0
 * @category models
 */
export interface Watched extends Pick<PgPool, "stats" | "holders" | "events"> {}

/**
 * @since 0.1.0
 * @category models
 */
export interface RouterOptions {
  /** The pools of the page, one or more. Default: the `PgPool` of the context. */
  readonly pools?: ReadonlyArray<Watched> | undefined
  /**
   * What a browser has to send to see anything of a pool: 16 to 256 printable characters without spaces. The page asks
   * for it and sends it in a header, never in a URL. Default: none.
   */
  readonly token?: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions extends RouterOptions {
  /** Default: 7432. With 0 the system chooses one; the log has the address. */
  readonly port?: number | undefined
  /** Where to listen. Any other than a loopback address needs a `token`. Default: `127.0.0.1`. */
  readonly host?: string | undefined
}

/** With pools of its own, a page needs none from the context. */
interface WithPools {
  readonly pools: ReadonlyArray<Watched>
}

/** Those that need the context say so in their types. */
const poolsOf = ({ pools }: PageOptions): Pools =>
  pools === undefined ? Effect.map(PgPool, (pool) => [pool]) as Effect.Effect<any> : Effect.succeed(pools)

/**
 * The page as a router, for an application that serves HTTP: mount it under any prefix. Whoever may see the page is the
 * decision of the application, or of `token`. An option that isn't allowed throws an `IllegalArgumentException`.
 *
 * Each browser that looks costs the pool one listener and, for all of them together, one connection beside the pool,
 * by which the server is asked every two seconds what it does. The pool itself opens and checks nothing for them. When
 * the last one leaves, nothing is left.
 *
 * @example
 * ```ts
 * import { HttpRouter, HttpServerResponse } from "@effect/platform"
 * import * as Dashboard from "effect-pgpool/Dashboard"
 *
 * const app = HttpRouter.empty.pipe(
 *   HttpRouter.get("/", HttpServerResponse.text("hello")),
 *   HttpRouter.mount("/internal/pool", Dashboard.router())
 * )
 * ```
 *
 * @since 0.1.0
 * @category routers
 */
export const router: {
  (options: RouterOptions & WithPools): HttpRouter.HttpRouter
  (options?: RouterOptions): HttpRouter.HttpRouter<never, PgPool>
} = (options?: RouterOptions) => {
  const page = orThrow(attempt(() => decodePage(options)))
  return routes(poolsOf(page), page)
}

/**
 * The page by a server of its own, on this machine only: `http://127.0.0.1:7432/`. It needs `@effect/platform-node`.
 *
 * Fails with `ServeError` if it can't listen, for instance because the port is in use. An option that isn't allowed is a
 * defect (`IllegalArgumentException`) that names it: also a `host` that others can reach, without a `token`. Without a
 * `token` only requests to `localhost` or a loopback address are answered, so that no other site can read the page by
 * way of a browser.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { PgPoolLayer } from "effect-pgpool"
 * import * as Dashboard from "effect-pgpool/Dashboard"
 *
 * const DatabaseLive = Layer.provideMerge(Dashboard.layer(), PgPoolLayer)
 *
 * const ForColleagues = Layer.unwrapEffect(Effect.map(
 *   Config.redacted("PAGE_TOKEN"),
 *   (token) => Dashboard.layer({ host: "0.0.0.0", port: 9000, token })
 * ))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: {
  (options: LayerOptions & WithPools): Layer.Layer<never, ServeError>
  (options?: LayerOptions): Layer.Layer<never, ServeError, PgPool>
} = (options?: LayerOptions) =>
  Layer.scopedDiscard(
    Effect.flatMap(
      orDie(attempt(() => ({ page: decodePage(options), place: decodePlace(options) }))),
      ({ page, place }) => serve(routes(poolsOf(page), page), place, page)
    )
  )
