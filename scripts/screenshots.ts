/**
 * Pictures of the live page over a pool at work: in light, in dark, and as on a phone.
 *   npx tsx scripts/screenshots.ts [FOLDER] [SECONDS]
 */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { Console, Effect, Layer, Random, Redacted, Schedule } from "effect"
import { PgPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Browser } from "playwright-core"
import * as Chromium from "../test/support/chromium.js"
import * as Postgres from "../test/support/postgres.js"

const port = 7433

// --- A shop at work ---

const pause = (least: number, most: number) => Effect.flatMap(Random.nextIntBetween(least, most), Effect.sleep)

/** Some wait for the row that another one has locked. */
const transfer = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const account = yield* Random.nextIntBetween(1, 4)
  yield* sql`UPDATE accounts SET balance = balance - 1 WHERE id = ${account}`
  yield* Effect.withSpan(pause(100, 600), "http.client POST")
}).pipe((body) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(body)), Effect.withSpan("transfer"))

const orders = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_sleep(${yield* Random.next} * 0.06)`
}).pipe(Effect.withSpan("GET /orders"))

const report = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_sleep(6)`
}).pipe(Effect.withSpan("nightly report"))

const leak = Effect.flatMap(PgPool.PgPool, (pool) => pool.use(() => Effect.sleep("40 seconds"))).pipe(
  Effect.withSpan("export")
)

/** So many at a time, one after the other. */
const callers = (
  count: number,
  one: Effect.Effect<unknown, unknown, SqlClient.SqlClient | PgPool.PgPool>,
  rest: number
) =>
  Effect.replicateEffect(
    Effect.fork(Effect.forever(Effect.zipRight(Effect.ignore(one), pause(rest / 2, rest)))),
    count,
    { discard: true }
  )

const rush = Effect.gen(function*() {
  yield* Effect.sleep("4 seconds")
  yield* Effect.forEach(Array.from({ length: 34 }), () => Effect.ignore(transfer), { concurrency: "unbounded" })
}).pipe(Effect.repeat(Schedule.spaced("9 seconds")))

const work = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)`
  yield* sql`INSERT INTO accounts SELECT n, 100 FROM generate_series(1, 9) n`
  yield* callers(7, orders, 200)
  yield* callers(2, transfer, 700)
  yield* callers(1, report, 5000)
  yield* callers(1, leak, 3000)
  yield* rush
})

// --- Its pictures ---

const shots = [
  { name: "light", colorScheme: "light", viewport: { width: 1440, height: 1000 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1440, height: 1000 } },
  { name: "phone", colorScheme: "light", viewport: { width: 390, height: 844 } }
] as const

const open = (browser: Browser, { colorScheme, viewport }: typeof shots[number]) =>
  Effect.promise(async () => {
    const page = await browser.newPage({ colorScheme, viewport, deviceScaleFactor: 1 })
    await page.goto(`http://127.0.0.1:${port}/`)
    return page
  })

/** A fifth of the size. The browser knows how. */
const webp = (browser: Browser, png: Buffer) =>
  Effect.promise(async () => {
    const page = await browser.newPage()
    const url = await page.evaluate<string>(`(async () => {
      const image = new Image()
      image.src = "data:image/png;base64,${png.toString("base64")}"
      await image.decode()
      const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height })
      canvas.getContext("2d").drawImage(image, 0, 0)
      return canvas.toDataURL("image/webp", 0.85)
    })()`)
    await page.close()
    return Buffer.from(url.split(",")[1]!, "base64")
  })

const pictures = Effect.gen(function*() {
  const [folder = "screenshots", seconds = "50"] = process.argv.slice(2)
  mkdirSync(folder, { recursive: true })
  const browser = yield* Chromium.start
  const pages = yield* Effect.forEach(shots, (shot) => open(browser, shot))
  yield* Effect.sleep(Number(seconds) * 1000)
  for (const [i, { name }] of shots.entries()) {
    const path = join(folder, `${name}.webp`)
    const png = yield* Effect.promise(() => pages[i]!.screenshot({ fullPage: true }))
    writeFileSync(path, yield* webp(browser, png))
    yield* Console.log(path)
  }
})

const program = Effect.gen(function*() {
  const { url } = yield* Postgres.start()
  const DatabaseLive = PgPool.layer({
    url: Redacted.make(url),
    name: "shop",
    maxsize: 8,
    maxoverflow: 16,
    acquireTimeout: "2 seconds",
    leakThreshold: "10 seconds",
    applicationName: "shop"
  })
  const Live = Layer.provideMerge(Dashboard.layer({ port }), DatabaseLive)
  yield* Effect.raceFirst(pictures, Effect.orDie(work)).pipe(Effect.provide(Live))
}).pipe(Effect.scoped)

program.pipe(Effect.provide(NodeContext.layer), NodeRuntime.runMain)
