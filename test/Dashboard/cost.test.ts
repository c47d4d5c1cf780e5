import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { PoolEvent } from "effect-pgpool"
import { ElasticPool } from "effect-pgpool"
import * as Dashboard from "effect-pgpool/Dashboard"
import { framesOf } from "../../src/internal/spans.js"
import { areAll } from "../support/areAll.js"
import * as Page from "../support/page.js"
import { eventually, makePool, run } from "../support/pgPool.js"

const watch = (pool: Dashboard.Watched) => Page.of(Dashboard.router({ pools: [pool] })).watch("/pools/0")

describe("R44: what the live page costs", () => {
  it.scopedLive("of a storm of events, only those that are sent are put in words", () =>
    Effect.gen(function*() {
      const { holders, stats } = yield* ElasticPool.make({ acquire: Effect.succeed({}) })
      const now = yield* stats
      const last = 5000
      let worded = 0
      const refusal = (n: number): PoolEvent.PoolEvent => ({
        _tag: "Exhausted",
        at: n,
        limit: "maxwait",
        waited: n === last ? 60_000 : 0,
        stats: now,
        get holders() {
          worded++
          return []
        }
      })
      const storm = Stream.concat(Stream.map(Stream.range(1, last), refusal), Stream.never)
      const messages = yield* watch({ stats, holders, events: storm })
      const sent = yield* messages.pipe(
        Stream.flatMap(({ data }) => Stream.fromIterable<{ kind: string; text: string }>(data.events ?? [])),
        Stream.takeUntil(({ text }) => text.includes("after 60.0 s")),
        Stream.runCollect,
        Effect.timeout("20 seconds")
      )
      const kinds = [...sent].map(({ kind }) => kind)
      assert.include(kinds, "Dropped")
      assert.isBelow(worded, last)
      assert.strictEqual(worded, kinds.filter((kind) => kind === "Exhausted").length)
    }))

  it.scopedLive("browsers that look at the same time share what they are shown", () =>
    Effect.gen(function*() {
      const { events, holders, stats } = yield* ElasticPool.make({ acquire: Effect.succeed({}) })
      const looks: Array<number> = []
      const counted = Effect.zipRight(Effect.sync(() => looks.push(performance.now())), holders)
      const pool = { stats, events, holders: counted }
      const browsers = yield* Effect.all([watch(pool), watch(pool), watch(pool)])
      const read = yield* Effect.forEach(
        browsers,
        (messages) => Stream.runCollect(Stream.take(messages, 4)),
        { concurrency: "unbounded" }
      )
      assert.isTrue(areAll(read, (messages) => messages.length === 4))
      // However slow the machine is, nobody has looked twice in the same second.
      const pauses = looks.slice(1).map((at, n) => at - looks[n]!)
      assert.isTrue(areAll(pauses, (pause) => pause > 850), pauses.join())
    }))

  it("the places of a span are looked up once, however often it is shown", () => {
    let looks = 0
    const span = Effect.runSync(Effect.makeSpan("transfer"))
    const watched = new Proxy(span, {
      get: (target, name) => {
        if (name === "attributes" || name === "name") looks++
        return Reflect.get(target, name)
      }
    })
    const show = () => framesOf(watched).map(({ location, name }) => ({ name, location }))
    const first = show()
    const afterFirst = looks
    assert.deepStrictEqual(show(), first)
    assert.strictEqual(looks - afterFirst, 1)
    assert.isAbove(afterFirst, 1)
  })

  it.scopedLive("it opens and checks no connection of the pool", () =>
    Effect.gen(function*() {
      let opened = 0
      const { app, pool, server, sessions } = yield* makePool({
        onConnect: (connection) => Effect.zipRight(Effect.sync(() => opened++), run(connection, "SELECT 1"))
      })
      const messages = yield* watch(pool)
      const all = yield* Stream.runCollect(Stream.take(messages, 4))
      assert.deepStrictEqual([...all].slice(1).map(({ data }) => data.health), [null, null, null])
      assert.strictEqual(opened, 0)
      assert.deepStrictEqual(yield* sessions, [])
      assert.lengthOf(yield* server.sessions(`${app} dashboard`), 1)
    }))

  it.scopedLive("it shows what the pool has seen of its server by itself", () =>
    Effect.gen(function*() {
      let isGone = false
      const { pool, sql } = yield* makePool({
        onConnect: (connection) => isGone ? run(connection, "SELECT 1/0") : Effect.void
      })
      yield* sql`SELECT 1`
      assert.strictEqual((yield* Page.until(yield* watch(pool), () => true)).health._tag, "Up")
      isGone = true
      yield* pool.evict({ now: true })
      yield* eventually(pool.stats, ({ size }) => size === 0)
      yield* Effect.forkScoped(sql`SELECT 1`)
      const { health } = yield* Page.until(yield* watch(pool), ({ health }) => health?._tag === "Unreachable")
      assert.include(health.cause, "22012")
    }))
})
