import { PersistedQueue } from "@effect/experimental"
import { SqlPersistedQueue } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import { areAll } from "../support/areAll.js"
import { makeMeeting } from "../support/ecosystem.js"
import type { Backend } from "../support/pgPool.js"
import { eventually, serverUrl, uniqueName, watch } from "../support/pgPool.js"

const Mail = Schema.Struct({ to: Schema.String, sentAt: Schema.Date })

const mail = (to: string) => ({ to, sentAt: new Date(0) })

const makeTest = Effect.gen(function*() {
  const server = yield* watch()
  const tableName = uniqueName()
  yield* Effect.addFinalizer(() => server.query(`DROP TABLE IF EXISTS ${tableName}`))
  /** The queue as a service of its own sees it, with a pool of its own. */
  const makeQueue = (applicationName = uniqueName()) =>
    Effect.flatMap(
      Layer.build(PersistedQueue.layer.pipe(
        Layer.provide(SqlPersistedQueue.layerStore({ tableName, pollInterval: "20 millis" })),
        Layer.provide(PgPool.layer({
          url: serverUrl,
          applicationName,
          transformResultNames: Str.snakeToCamel,
          transformQueryNames: Str.camelToSnake
        }))
      )),
      (context) => Effect.provide(PersistedQueue.make({ name: "mail", schema: Mail }), context)
    )
  const app = uniqueName()
  return {
    queue: yield* makeQueue(app),
    makeQueue,
    until: (holds: (sessions: Array<Backend>) => boolean) => server.until(app, holds),
    rows: server.query(
      `SELECT element::json->>'to' AS to, completed, attempts, acquired_by FROM ${tableName} ORDER BY sequence`
    )
  }
})

describe("R31: SqlPersistedQueue", () => {
  it.scopedLive("take gives what was offered, in order, and marks it as done", () =>
    Effect.gen(function*() {
      const { queue, rows } = yield* makeTest
      const id = yield* queue.offer(mail("Ada"))
      yield* queue.offer(mail("Eve"))
      const taken = yield* queue.take((element, metadata) => Effect.succeed({ element, metadata }))
      assert.deepStrictEqual(taken, { element: mail("Ada"), metadata: { id, attempts: 0 } })
      assert.deepStrictEqual(yield* rows, [
        { to: "Ada", completed: true, attempts: 1, acquired_by: null },
        { to: "Eve", completed: false, attempts: 0, acquired_by: null }
      ])
      assert.deepStrictEqual(yield* queue.take(Effect.succeed), mail("Eve"))
    }))

  it.scopedLive("take waits for an offer", () =>
    Effect.gen(function*() {
      const { queue, until } = yield* makeTest
      const taker = yield* Effect.fork(queue.take(Effect.succeed))
      yield* until((sessions) => sessions.some(({ query, state }) => query.includes("LOCKED") && state === "idle"))
      yield* queue.offer(mail("Ada"))
      assert.deepStrictEqual(yield* Fiber.join(taker), mail("Ada"))
    }))

  it.scopedLive("an id is offered once", () =>
    Effect.gen(function*() {
      const { queue, rows } = yield* makeTest
      yield* queue.offer(mail("Ada"), { id: "mine" })
      yield* queue.offer(mail("Eve"), { id: "mine" })
      assert.deepStrictEqual((yield* rows).map(({ to }) => to), ["Ada"])
    }))

  it.scopedLive("what failed is given again, until maxAttempts", () =>
    Effect.gen(function*() {
      const { queue, rows } = yield* makeTest
      yield* queue.offer(mail("Ada"))
      const fail = queue.take(({ to }, { attempts }) => Effect.fail(`${to} ${attempts}`), { maxAttempts: 2 })
      assert.strictEqual(yield* Effect.flip(fail), "Ada 0")
      assert.strictEqual(yield* Effect.flip(fail), "Ada 1")
      assert.deepStrictEqual(yield* rows, [{ to: "Ada", completed: false, attempts: 2, acquired_by: null }])
      yield* queue.offer(mail("Eve"))
      assert.deepStrictEqual(yield* queue.take(Effect.succeed, { maxAttempts: 2 }), mail("Eve"))
      assert.deepStrictEqual(yield* queue.take(Effect.succeed, { maxAttempts: 3 }), mail("Ada"))
    }))

  it.scopedLive("what was interrupted is given to somebody else, and counts as no attempt", () =>
    Effect.gen(function*() {
      const { makeQueue, queue, rows } = yield* makeTest
      yield* queue.offer(mail("Ada"))
      const inside = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        queue.take(() => Effect.zipRight(Deferred.succeed(inside, undefined), Effect.never))
      )
      yield* Deferred.await(inside)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* rows, [{ to: "Ada", completed: false, attempts: 0, acquired_by: null }])
      const other = yield* makeQueue()
      assert.deepStrictEqual(yield* other.take(Effect.succeed), mail("Ada"))
    }))

  it.scopedLive("two services at the same time get different elements", () =>
    Effect.gen(function*() {
      const { makeQueue, queue, rows } = yield* makeTest
      const names = Array.from({ length: 20 }, (_, i) => `Person ${i}`)
      yield* Effect.forEach(names, (name) => queue.offer(mail(name)), { concurrency: 4 })
      const meeting = yield* makeMeeting(names.length)
      // Nobody is done until all are taken, so each element is with one taker.
      const takeHalf = (queue: PersistedQueue.PersistedQueue<typeof Mail.Type>) =>
        Effect.all(
          Array.from({ length: names.length / 2 }, () => queue.take(({ to }) => Effect.as(meeting, to))),
          { concurrency: "unbounded" }
        )
      const halves = yield* Effect.all([takeHalf(queue), takeHalf(yield* makeQueue())], { concurrency: "unbounded" })
      assert.sameMembers(halves.flat(), names)
      yield* eventually(rows, (rows) => areAll(rows, ({ attempts, completed }) => completed === true && attempts === 1))
    }))
})
