/** @internal */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

/** The folder has the same place beside `src` and beside `dist`. */
const page = (name: string) => fileURLToPath(new URL(`../../../page/${name}`, import.meta.url))

const uPlot = (name: string) => createRequire(import.meta.url).resolve(`uplot/dist/${name}`)

const html = "text/html; charset=utf-8"
const css = "text/css; charset=utf-8"
const script = "text/javascript; charset=utf-8"

interface File {
  readonly path: () => string
  readonly contentType: string
}

const ours = (name: string, contentType: string): readonly [string, File] => [
  name,
  { path: () => page(name), contentType }
]

/** What the page is made of, by its names in URLs. @internal */
export const files: ReadonlyMap<string, File> = new Map([
  ours("index.html", html),
  ours("style.css", css),
  ours("icon.svg", "image/svg+xml"),
  ...["main", "live", "charts", "figures", "tables", "format"].map((name) => ours(`${name}.js`, script)),
  ["uplot.js", { path: () => uPlot("uPlot.esm.js"), contentType: script }],
  ["uplot.css", { path: () => uPlot("uPlot.min.css"), contentType: css }]
])

/** Nothing comes from elsewhere, nothing runs that is not one of the files, and nobody may frame the page. */
const headers = {
  "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-cache"
}

/** @internal */
export const send = ({ contentType, path }: File): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.match(Effect.tryPromise(() => readFile(path())), {
    onSuccess: (content) => HttpServerResponse.uint8Array(content, { contentType, headers }),
    // A bundler leaves them behind.
    onFailure: () =>
      HttpServerResponse.text(
        "The files of this page are not beside effect-pgpool. If the server is bundled, keep effect-pgpool out of the bundle.\n",
        { status: 500, headers }
      )
  })
