import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Redacted, Scope, Stream } from "effect"
import { ElasticPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Browser, Page } from "playwright-core"
import { areAll } from "../support/areAll.js"
import * as Chromium from "../support/chromium.js"
import { eventually } from "../support/pgPool.js"
import * as Program from "../support/program.js"

const Chrome = Context.GenericTag<Browser>("test/Chrome")

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

const makeAny = (name: string) => ElasticPool.make({ acquire: Effect.succeed({}), name, maxsize: 2, maxoverflow: 4 })

/** A page in the browser, and what it has complained about. */
const open = (port: number, hash = "", options: Parameters<Browser["newPage"]>[0] = {}) =>
  Effect.gen(function*() {
    const browser = yield* Chrome
    const page = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newPage(options)),
      (page) => Effect.promise(() => page.close())
    )
    const complaints: Array<string> = []
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text())
    })
    yield* Effect.promise(() => page.goto(`http://127.0.0.1:${port}/${hash}`))
    return { page, complaints }
  })

const shows = (page: Page, selector: string, text: string | RegExp) =>
  Effect.promise(() => page.locator(selector).filter({ hasText: text }).first().waitFor({ timeout: 20_000 }))

const serve = (options: Dashboard.LayerOptions & { readonly pools: ReadonlyArray<Dashboard.Watched> }) =>
  Layer.build(Layer.provide(Dashboard.layer(options), Logger.remove(Logger.defaultLogger)))

/** The rules of WCAG 2 A and AA, and what else axe takes for good practice. */
const violations = (page: Page) =>
  Effect.promise(async () => {
    // Not as a script of the page: its policy would not let it run.
    await page.evaluate(axe)
    return await page.evaluate<Array<string>>(
      `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html)))`
    )
  })

const isWide = (page: Page) =>
  Effect.promise(() =>
    page.evaluate<boolean>("document.documentElement.scrollWidth > document.documentElement.clientWidth")
  )

describe.skipIf(!Chromium.isInstalled)("in a browser", () => {
  layer(Layer.scoped(Chrome, Chromium.start), { timeout: 60_000, excludeTestServices: true })(
    "R44: the page in Chromium",
    (it) => {
      it.scoped("it shows the pool, and goes on showing it as it changes", () =>
        Effect.gen(function*() {
          const port = yield* Program.freePort
          const pool = yield* makeAny("shop")
          yield* serve({ pools: [pool], port })
          const { complaints, page } = yield* open(port)
          yield* shows(page, "#status", "Live")
          yield* shows(page, "h1", "shop")
          yield* shows(page, "#holders", "No connection is in use")
          yield* Effect.forkScoped(Effect.withSpan(pool.use(() => Effect.never), "transfer"))
          yield* shows(page, "#holders tbody tr", "transfer")
          yield* shows(page, "#figures div", /In use\s*1/)
          yield* shows(page, "#connections tbody tr", /in use\s*1\s*1/)
          yield* pool.resize({ maxoverflow: 9 })
          yield* shows(page, "#events li", /resized maxsize 2, maxoverflow 9/)
          yield* shows(page, "#connections tbody tr", /maxoverflow\s*9\s*9/)
          yield* shows(page, "#settings tr", /maxwait\s*auto/)
          const inked = yield* Effect.promise(() =>
            page.evaluate<Array<boolean>>(
              `[...document.querySelectorAll("canvas")].map((canvas) =>
              canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte !== 0))`
            )
          )
          assert.strictEqual(inked.length, 5)
          assert.isTrue(areAll(inked, (isInked) => isInked))
          assert.deepStrictEqual(complaints, [])
        }))

      it.scoped("it says that its server is away or its pool closed, and comes back by itself", () =>
        Effect.gen(function*() {
          const port = yield* Program.freePort
          const first = yield* Scope.make()
          const pool = yield* Scope.extend(makeAny("first"), first)
          yield* Scope.extend(serve({ pools: [pool], port }), first)
          const { page } = yield* open(port)
          yield* shows(page, "h1", "first")
          yield* Scope.close(first, Exit.void)
          yield* shows(page, "#status", /Next try in|was closed/)
          const second = yield* Scope.make()
          yield* serve({ pools: [yield* Scope.extend(makeAny("second"), second)], port })
          yield* shows(page, "h1", "second")
          yield* shows(page, "#status", "Live")
          yield* Scope.close(second, Exit.void)
          yield* shows(page, "#status", "This pool was closed at")
          yield* shows(page, "#state", "closed")
        }))

      it.scoped("a wrong token is refused, the right one shows the pool, and neither is anywhere in the page", () =>
        Effect.gen(function*() {
          const port = yield* Program.freePort
          const token = "a-token-of-sixteen-or-more"
          yield* serve({ pools: [yield* makeAny("shop")], port, token: Redacted.make(token) })
          const { page } = yield* open(port)
          const urls: Array<string> = []
          page.on("request", (request) => urls.push(request.url()))
          yield* shows(page, "#login h2", "needs its token")
          assert.isFalse(yield* Effect.promise(() => page.locator("#pool").isVisible()))
          // By the keyboard: the field has the focus.
          yield* Effect.promise(() => page.keyboard.type("not-the-right-token"))
          yield* Effect.promise(() => page.keyboard.press("Enter"))
          yield* shows(page, "#refusal", "not the token")
          yield* Effect.promise(() => page.keyboard.type(token))
          yield* Effect.promise(() => page.keyboard.press("Enter"))
          yield* shows(page, "h1", "shop")
          yield* Effect.promise(() => page.reload())
          yield* shows(page, "h1", "shop")
          const html = yield* Effect.promise(() => page.content())
          assert.notInclude(html, token)
          assert.isTrue(areAll(urls, (url) => !url.includes("token")))
        }))

      it.scoped("it looks no longer once it is hidden for half a minute, and goes on when it is seen again", () =>
        Effect.gen(function*() {
          const port = yield* Program.freePort
          const pool = yield* makeAny("shop")
          let looking = 0
          const counted = Effect.acquireRelease(Effect.sync(() => looking++), () => Effect.sync(() => looking--))
          const events = Stream.unwrapScoped(Effect.as(counted, pool.events))
          yield* serve({ pools: [{ stats: pool.stats, holders: pool.holders, events }], port })
          const { page } = yield* open(port)
          yield* shows(page, "#status", "Live")
          const become = (state: "hidden" | "visible") =>
            Effect.promise(() =>
              page.evaluate(
                `Object.defineProperty(document, "visibilityState", { value: "${state}", configurable: true })
                document.dispatchEvent(new Event("visibilitychange"))`
              )
            )
          yield* Effect.promise(() => page.clock.install())
          yield* become("hidden")
          yield* Effect.promise(() => page.clock.runFor(29_000))
          yield* become("visible")
          yield* shows(page, "#status", "Live")
          yield* become("hidden")
          yield* Effect.promise(() => page.clock.runFor(31_000))
          yield* shows(page, "#status", "Paused while nobody sees this page")
          yield* eventually(Effect.sync(() => looking), (count) => count === 0)
          yield* Effect.promise(() => page.clock.runFor(60_000))
          assert.strictEqual(looking, 0)
          yield* become("visible")
          yield* shows(page, "#status", "Live")
        }))

      it.scoped("an address that is not well formed chooses nothing", () =>
        Effect.gen(function*() {
          const port = yield* Program.freePort
          yield* serve({ pools: [yield* makeAny("shop")], port })
          const { complaints, page } = yield* open(port, "#%")
          yield* shows(page, "h1", "shop")
          assert.deepStrictEqual(complaints, [])
        }))

      it.scoped("one of several pools is chosen by the keyboard, and stays chosen", () =>
        Effect.gen(function*() {
          const port = yield* Program.freePort
          yield* serve({ pools: [yield* makeAny("shop"), yield* makeAny("reports")], port })
          const { page } = yield* open(port)
          yield* shows(page, "h1", "shop")
          yield* Effect.promise(() => page.keyboard.press("Tab"))
          assert.strictEqual(yield* Effect.promise(() => page.evaluate("document.activeElement.id")), "pools")
          yield* Effect.promise(() => page.keyboard.press("ArrowDown"))
          yield* shows(page, "h1", "reports")
          const focused = new Set<unknown>()
          for (let i = 0; i < 6; i++) {
            yield* Effect.promise(() => page.keyboard.press("Tab"))
            focused.add(yield* Effect.promise(() => page.evaluate("document.activeElement.id")))
          }
          for (const id of ["holders", "trouble", "events", "settings"]) assert.isTrue(focused.has(id), id)
          yield* Effect.promise(() => page.reload())
          yield* shows(page, "h1", "reports")
        }))

      it.scoped.each(["light", "dark"] as const)(
        "in %s, axe finds nothing wrong, and a phone needs no sideways scroll",
        (colorScheme) =>
          Effect.gen(function*() {
            const port = yield* Program.freePort
            const pool = yield* makeAny("shop")
            yield* serve({ pools: [pool], port, token: Redacted.make("a-token-of-sixteen-or-more") })
            const { page } = yield* open(port, "", { colorScheme })
            yield* shows(page, "#login h2", "needs its token")
            assert.deepStrictEqual(yield* violations(page), [])
            yield* Effect.promise(() => page.keyboard.type("a-token-of-sixteen-or-more"))
            yield* Effect.promise(() => page.keyboard.press("Enter"))
            yield* shows(page, "#status", "Live")
            for (const name of ["transfer", "report of all that has happened since the beginning of the year"]) {
              yield* Effect.forkScoped(Effect.withSpan(pool.use(() => Effect.never), name))
            }
            yield* shows(page, "#holders", "report of all")
            yield* shows(page, "#events li", "opened")
            assert.deepStrictEqual(yield* violations(page), [])
            yield* Effect.promise(() => page.setViewportSize({ width: 390, height: 844 }))
            yield* shows(page, "#status", "Live")
            assert.isFalse(yield* isWide(page))
            assert.deepStrictEqual(yield* violations(page), [])
          })
      )
    }
  )
})
