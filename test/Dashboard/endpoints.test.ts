import { HttpRouter } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope, Stream } from "effect"
import { ElasticPool, PgPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { readFileSync } from "node:fs"
import { areAll } from "../support/areAll.js"
import * as Page from "../support/page.js"
import { eventually } from "../support/pgPool.js"

const token = "a-token-of-sixteen-or-more"
const withToken = { authorization: `Bearer ${token}` }

const makeAny = (options?: Partial<ElasticPool.PoolOptions>) =>
  ElasticPool.make({ acquire: Effect.succeed({}), name: "things", ...options })

const files = ["index.html", "style.css", "icon.svg", "main.js", "live.js", "charts.js", "figures.js", "tables.js"]

describe("R44: the page and its data", () => {
  it.scopedLive("all that the page names comes from the package, with a policy that allows nothing else", () =>
    Effect.gen(function*() {
      const page = Page.of(Dashboard.router({ pools: [yield* makeAny()] }))
      const seen = new Set<string>()
      const visit = (path: string): Effect.Effect<void> =>
        Effect.gen(function*() {
          if (seen.has(path)) return
          seen.add(path)
          const response = yield* page.get(`/${path}`)
          assert.strictEqual(response.status, 200, path)
          assert.include(response.headers.get("content-security-policy"), "default-src 'self'")
          assert.strictEqual(response.headers.get("x-content-type-options"), "nosniff")
          const text = yield* Effect.promise(() => response.text())
          if (path.startsWith("uplot")) return
          const named = [...text.matchAll(/(?:href|src)="([^"]+)"|from "\.\/([^"]+)"/g)].map(([, a, b]) => a ?? b!)
          yield* Effect.forEach(named, visit)
        })
      yield* visit("")
      const expected = [...files.slice(1), "uplot.js", "uplot.css", "format.js", ""]
      assert.deepStrictEqual([...seen].sort(), expected.sort())
    }))

  it("no file of the page has a script or a style within the HTML, or names another site", () => {
    for (const file of files) {
      const text = readFileSync(new URL(`../../page/${file}`, import.meta.url), "utf8")
      assert.notMatch(text.replaceAll("http://www.w3.org/2000/svg", ""), /https?:|\/\/[a-z]+\.[a-z]/, file)
      assert.notMatch(text, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=/i, file)
    }
  })

  it.scopedLive("a snapshot comes each second, with the stats, the holders and what has happened since", () =>
    Effect.gen(function*() {
      const pool = yield* makeAny({ maxsize: 3, maxoverflow: 5 })
      const messages = yield* Page.of(Dashboard.router({ pools: [pool] })).watch("/pools/0")
      yield* Effect.forkScoped(Effect.withSpan(pool.use(() => Effect.never), "transfer"))
      yield* Effect.fork(Effect.delay(pool.resize({ maxoverflow: 7 }), "1500 millis"))
      const all = [...yield* Stream.runCollect(Stream.take(messages, 5))]
      assert.deepStrictEqual(all.map(({ event }) => event), ["hello", ...Array(4).fill("snapshot")])
      assert.deepInclude(Object.fromEntries(all[0]!.data.settings), {
        maxsize: "3",
        maxwait: "auto",
        idleTimeout: "off"
      })
      const last = all[4]!.data
      assert.deepInclude(last.stats, { name: "things", state: "open", busy: 1, maxsize: 3, maxoverflow: 7, waiting: 0 })
      assert.strictEqual(last.holders[0].takenIn[0].name, "transfer")
      assert.include(last.summary, "1 taken in transfer")
      assert.isNull(last.health)
      assert.strictEqual(last.server._tag, "None")
      const events = all.slice(1).flatMap(({ data }) => data.events)
      assert.deepInclude(events.map(({ kind, text, trouble }) => ({ kind, text, trouble })), {
        kind: "Resized",
        text: "maxsize 3, maxoverflow 7",
        trouble: false
      })
      const times = all.slice(1).map(({ data }) => data.at)
      assert.isTrue(areAll(times.slice(1), (at) => at - times[0] >= 900))
    }))

  it.scopedLive("the page works under any prefix, and is led to the slash that its relative paths need", () =>
    Effect.gen(function*() {
      const pool = yield* makeAny()
      const page = Page.of(
        HttpRouter.empty.pipe(HttpRouter.mount("/internal/pool", Dashboard.router({ pools: [pool] })))
      )
      const led = yield* page.get("/internal/pool?x=1")
      assert.strictEqual(led.status, 308)
      assert.strictEqual(
        new URL(led.headers.get("location")!, "http://localhost/internal/pool").pathname,
        "/internal/pool/"
      )
      assert.include(yield* page.text("/internal/pool/"), "src=\"main.js\"")
      assert.include(yield* page.text("/internal/pool/main.js"), "follow(")
      assert.deepStrictEqual(JSON.parse(yield* page.text("/internal/pool/pools")), [{ name: "things", state: "open" }])
      const messages = yield* page.watch("/internal/pool/pools/0")
      assert.strictEqual((yield* Page.until(messages, () => true)).stats.name, "things")
    }))

  it.scopedLive("without pools it is the one of the context", () =>
    Effect.gen(function*() {
      const pool = yield* makeAny({ name: "of the context" })
      const router: HttpRouter.HttpRouter<never, PgPool.PgPool> = Dashboard.router()
      const given = HttpRouter.provideService(router, PgPool.PgPool, pool as unknown as PgPool.PgPool)
      assert.deepStrictEqual(JSON.parse(yield* Page.of(given).text("/pools")), [{
        name: "of the context",
        state: "open"
      }])
    }))

  it.scopedLive("several pools are told apart by their places, and one that is not there is 404", () =>
    Effect.gen(function*() {
      const page = Page.of(Dashboard.router({ pools: [yield* makeAny({ name: "a" }), yield* makeAny({ name: "b" })] }))
      assert.deepStrictEqual(JSON.parse(yield* page.text("/pools")).map(({ name }: any) => name), ["a", "b"])
      assert.strictEqual((yield* Page.until(yield* page.watch("/pools/1"), () => true)).stats.name, "b")
      for (const other of ["2", "-1", "x", "0x0", "length"]) {
        assert.strictEqual((yield* page.get(`/pools/${other}`)).status, 404, other)
      }
    }))

  it.scopedLive("a page whose pool is closed is told so, and its stream ends", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pool = yield* Scope.extend(makeAny(), scope)
      const page = Page.of(Dashboard.router({ pools: [pool] }))
      const messages = yield* page.watch("/pools/0")
      yield* Effect.fork(Effect.delay(Scope.close(scope, Exit.void), "500 millis"))
      const all = [...yield* Stream.runCollect(messages)]
      assert.deepInclude(all.at(-1)!.data, { hasEnded: true })
      assert.strictEqual(all.at(-1)!.data.stats.state, "closing")
      assert.isTrue(areAll(all.slice(1, -1), ({ data }) => !data.hasEnded))
      const again = [...yield* Stream.runCollect(yield* page.watch("/pools/0"))]
      assert.isTrue(again.at(-1)!.data.hasEnded)
    }))

  it.scopedLive("each browser listens once, and nothing runs any more when the last one has left", () =>
    Effect.gen(function*() {
      const pool = yield* makeAny()
      let listeners = 0
      let asked = 0
      const watched: Dashboard.Watched = {
        stats: Effect.tap(pool.stats, () => Effect.sync(() => asked++)),
        holders: pool.holders,
        events: Stream.acquireRelease(Effect.sync(() => listeners++), () => Effect.sync(() => listeners--)).pipe(
          Stream.flatMap(() => pool.events)
        )
      }
      const page = Page.of(Dashboard.router({ pools: [watched] }))
      const now = Effect.sync(() => listeners)
      const first = yield* Scope.make()
      yield* Effect.scoped(Effect.gen(function*() {
        const messages = yield* Scope.extend(page.watch("/pools/0"), first)
        const others = yield* page.watch("/pools/0")
        yield* Page.until(messages, () => true)
        yield* Page.until(others, () => true)
        yield* eventually(now, (n) => n === 2)
      }))
      yield* eventually(now, (n) => n === 1)
      yield* Scope.close(first, Exit.void)
      yield* eventually(now, (n) => n === 0)
      const before = asked
      yield* Effect.sleep("1500 millis")
      assert.strictEqual(asked, before)
    }))
})

describe("R44: the token", () => {
  it.scopedLive("the data need it, as a header; the files of the page do not", () =>
    Effect.gen(function*() {
      const page = Page.of(Dashboard.router({ pools: [yield* makeAny()], token: Redacted.make(token) }))
      const wrong = [{}, { authorization: "Bearer wrong" }, { authorization: token }, {
        authorization: `Basic ${token}`
      }]
      for (const headers of wrong) {
        for (const path of ["/pools", "/pools/0", "/pools/9"]) {
          const response = yield* page.get(path, headers)
          assert.strictEqual(response.status, 401, path)
          assert.strictEqual(response.headers.get("www-authenticate"), "Bearer")
          assert.notInclude(yield* Effect.promise(() => response.text()), "things")
        }
      }
      for (const path of [`/pools?token=${token}`, `/pools?authorization=Bearer%20${token}`]) {
        assert.strictEqual((yield* page.get(path)).status, 401)
      }
      assert.strictEqual((yield* page.get("/", {})).status, 200)
      assert.strictEqual((yield* page.get("/pools", withToken)).status, 200)
      assert.strictEqual((yield* Page.until(yield* page.watch("/pools/0", withToken), () => true)).stats.name, "things")
    }))

  it.scopedLive("an option that is not allowed is named, and a token is never shown", () =>
    Effect.gen(function*() {
      const pools = [yield* makeAny()]
      const messageOf = (options: any): string => {
        try {
          return `allowed: ${Dashboard.router(options)}`
        } catch (error) {
          return (error as Error).message
        }
      }
      for (const bad of ["short", "with a space in between", "with-ümlauts-in-between", "x".repeat(300)]) {
        const message = messageOf({ pools, token: Redacted.make(bad) })
        assert.match(message, /^token: .*16 to 256 printable/)
        assert.notInclude(message, bad)
      }
      assert.match(messageOf({ pools, token }), /^token: .*Redacted/)
      assert.notInclude(messageOf({ pools, token }), token)
      assert.match(messageOf({ pools: [] }), /^pools: .*one or more pools/)
      assert.match(messageOf({ pools: [{}] }), /^pools: /)
      assert.match(messageOf("pools"), /an object of options/)
    }))
})
