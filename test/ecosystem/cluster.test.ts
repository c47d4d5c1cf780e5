/** `@effect/cluster` keeps its messages, its runners and its shard locks by way of our client. */
import {
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  Message,
  MessageStorage,
  Reply,
  Runner,
  RunnerAddress,
  RunnerStorage,
  ShardId,
  ShardingConfig,
  Snowflake,
  SqlMessageStorage,
  SqlRunnerStorage
} from "@effect/cluster"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, ExecutionStrategy, Exit, Layer, Option, Schema, Scope, String } from "effect"
import { PgPool } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import { areAll } from "../support/areAll.js"
import * as Database from "../support/database.js"
import { eventually, pause, uniqueName, watch } from "../support/pgPool.js"

const Add = Rpc.make("Add", {
  payload: { n: Schema.Number },
  success: Schema.Number,
  primaryKey: ({ n }) => `${n}`
})

const Count = Rpc.make("Count", { payload: { to: Schema.Number }, success: Schema.Number, stream: true })

const shard = (id: number) => ShardId.make("default", id)

/** A storage of messages on a pool of its own. Those with the same prefix share their tables. */
const makeMessages = (prefix: string, options?: PgPool.PgPoolOptions) =>
  Effect.gen(function*() {
    const { url } = yield* Database.Database
    const context = yield* SqlMessageStorage.layerWith({ prefix }).pipe(
      Layer.provideMerge(Snowflake.layerGenerator),
      Layer.provide(ShardingConfig.layer()),
      Layer.provideMerge(PgPool.layer({ url, maxsize: 2, maxoverflow: 2, ...options })),
      Layer.build
    )
    const messages = Context.get(context, MessageStorage.MessageStorage)
    const { unsafeNext } = Context.get(context, Snowflake.Generator)
    const request = <R extends Rpc.AnyWithProps>(rpc: R, payload: unknown) =>
      new Message.OutgoingRequest<any>({
        envelope: Envelope.makeRequest<any>({
          requestId: unsafeNext(),
          address: EntityAddress.make({
            shardId: shard(1),
            entityType: EntityType.EntityType.make("Calculator"),
            entityId: EntityId.make("1")
          }),
          tag: rpc._tag,
          payload: rpc.payloadSchema.make!(payload),
          headers: Headers.fromInput({ tenant: "ours" })
        }),
        context: Context.empty() as Context.Context<any>,
        rpc,
        lastReceivedReply: Option.none(),
        respond: () => Effect.void
      })
    const exit = (to: Message.OutgoingRequest<any>, value: unknown) =>
      new Reply.ReplyWithContext<any>({
        reply: new Reply.WithExit({ id: unsafeNext(), requestId: to.envelope.requestId, exit: Exit.succeed(value) }),
        context: Context.empty() as Context.Context<any>,
        rpc: to.rpc
      })
    const chunk = (to: Message.OutgoingRequest<any>, sequence: number, values: readonly [number, ...Array<number>]) =>
      new Reply.ReplyWithContext<any>({
        reply: new Reply.Chunk({ id: unsafeNext(), requestId: to.envelope.requestId, sequence, values }),
        context: Context.empty() as Context.Context<any>,
        rpc: to.rpc
      })
    const unread = Effect.map(
      messages.unprocessedMessages([shard(1)]),
      (messages) => messages.map(({ envelope }) => envelope)
    )
    return { messages, request, exit, chunk, unread, unsafeNext, pool: Context.get(context, PgPool.PgPool) }
  })

const allShards = Array.from({ length: 10 }, (_, n) => `default:${n + 1}`)

const again = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(eventually(Effect.option(effect), Option.isSome), Option.getOrThrow)

/** After so long the storage gives up an operation, and rebuilds its session. */
const hasty = { shardLockRefreshInterval: "1 second" } as const

/** A runner's storage on a pool of its own. Those with the same prefix are one cluster. */
const makeRunner = (
  port: number,
  prefix: string,
  options?: PgPool.PgPoolOptions,
  sharding?: Partial<ShardingConfig.ShardingConfig["Type"]>
) =>
  Effect.gen(function*() {
    const { server, url } = yield* Database.Database
    const app = uniqueName()
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const poolContext = yield* PgPool.layer({ url, applicationName: app, maxsize: 2, maxoverflow: 2, ...options }).pipe(
      Layer.buildWithScope(scope)
    )
    const storageScope = yield* Scope.fork(scope, ExecutionStrategy.sequential)
    const storage = yield* SqlRunnerStorage.layerWith({ prefix }).pipe(
      Layer.provide(ShardingConfig.layer({ shardsPerGroup: 10, ...sharding })),
      Layer.provide(Layer.succeedContext(poolContext)),
      Layer.buildWithScope(storageScope),
      Effect.map((context) => Context.get(context, RunnerStorage.RunnerStorage))
    )
    const address = RunnerAddress.make("127.0.0.1", port)
    const shards = Array.from({ length: 10 }, (_, n) => shard(n + 1))
    const sorted = Effect.map((shards: Array<ShardId.ShardId>) =>
      shards.sort((a, b) => a.id - b.id).map((id) => id.toString())
    )
    const acquire = sorted(storage.acquire(address, shards))
    const refresh = sorted(storage.refresh(address, shards))
    return {
      storage,
      address,
      runner: Runner.make({ address, groups: ["default"], weight: 1 }),
      pool: Context.get(poolContext, PgPool.PgPool),
      acquire,
      refresh,
      /** The same, tried again until they succeed. */
      acquireAgain: again(acquire),
      refreshAgain: again(refresh),
      sessions: server.sessions(app),
      /** The advisory locks of this runner, as the server sees them. */
      locks: server.query(
        `SELECT pid, objid FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND application_name = $1 ORDER BY objid`,
        [app]
      ),
      closeStorage: Scope.close(storageScope, Exit.void),
      close: Scope.close(scope, Exit.void)
    }
  })

layer(Database.layer, { excludeTestServices: true })("@effect/cluster", (it) => {
  describe("R31: SqlMessageStorage", () => {
    it.scoped("a request is saved once, read once and answered once, whatever the client's transforms", () =>
      Effect.gen(function*() {
        const { exit, messages, request, unread } = yield* makeMessages(uniqueName(), {
          transformQueryNames: String.camelToSnake,
          transformResultNames: String.snakeToCamel
        })
        const first = request(Add, { n: 1 })
        assert.strictEqual((yield* messages.saveRequest(first))._tag, "Success")
        const twin = request(Add, { n: 1 })
        assert.deepStrictEqual(
          yield* messages.saveRequest(twin),
          MessageStorage.SaveResult.Duplicate({
            originalId: first.envelope.requestId,
            lastReceivedReply: Option.none()
          })
        )

        const [read, ...others] = yield* unread
        assert.deepStrictEqual(others, [])
        assert.deepInclude(read, { _tag: "Request", requestId: first.envelope.requestId, payload: { n: 1 } })
        assert.deepInclude((read as Envelope.Request.PartialEncoded).headers, { tenant: "ours" })
        assert.deepStrictEqual(yield* unread, [])

        const answer = exit(first, 42)
        yield* messages.saveReply(answer)
        assert.deepStrictEqual(yield* messages.repliesFor([first]), [answer.reply])
        assert.deepStrictEqual(
          yield* messages.saveRequest(request(Add, { n: 1 })),
          MessageStorage.SaveResult.Duplicate({
            originalId: first.envelope.requestId,
            lastReceivedReply: Option.some(answer.reply)
          })
        )
        yield* messages.resetShards([shard(1)])
        assert.deepStrictEqual(yield* unread, [])
        assert.deepStrictEqual(
          yield* messages.requestIdForPrimaryKey({ address: first.envelope.address, tag: "Add", id: "1" }),
          Option.some(first.envelope.requestId)
        )
      }))

    it.scoped("a reply that can't be saved leaves nothing of its transaction", () =>
      Effect.gen(function*() {
        const { server } = yield* Database.Database
        const prefix = uniqueName()
        const { exit, messages, pool, request } = yield* makeMessages(prefix)
        const sent = request(Add, { n: 1 })
        yield* messages.saveRequest(sent)
        const answer = exit(sent, 1)
        yield* messages.saveReply(answer)
        // The message is updated before the second exit violates a constraint of the table of replies.
        const error = yield* Effect.flip(messages.saveReply(exit(sent, 2)))
        assert.strictEqual(error._tag, "PersistenceError")
        const [message] = yield* server.query(`SELECT last_reply_id FROM ${prefix}_messages`)
        assert.strictEqual(message.last_reply_id, `${answer.reply.id}`)
        assert.deepInclude(yield* pool.stats, { busy: 0 })
      }))

    it.scoped("the chunk of a reply that was acknowledged is where its request goes on", () =>
      Effect.gen(function*() {
        const { chunk, messages, request, unread, unsafeNext } = yield* makeMessages(uniqueName())
        const sent = request(Count, { to: 3 })
        yield* messages.saveRequest(sent)
        assert.lengthOf(yield* unread, 1)
        const first = chunk(sent, 0, [1, 2])
        yield* messages.saveReply(first)
        yield* messages.resetShards([shard(1)])
        assert.deepStrictEqual(yield* unread, [])
        const ack = new Envelope.AckChunk({
          id: unsafeNext(),
          address: sent.envelope.address,
          requestId: sent.envelope.requestId,
          replyId: first.reply.id
        })
        yield* messages.saveEnvelope(new Message.OutgoingEnvelope({ envelope: ack, rpc: Count }))
        const [again, acknowledged] = yield* messages.unprocessedMessages([shard(1)])
        assert.deepStrictEqual(acknowledged.envelope, ack)
        assert.deepStrictEqual(
          Option.getOrThrow((again as Message.IncomingRequest<any>).lastSentReply),
          yield* Reply.serialize(first)
        )
      }))

    it.scoped("of two that read at the same time each message goes to one", () =>
      Effect.gen(function*() {
        const prefix = uniqueName()
        const one = yield* makeMessages(prefix)
        const two = yield* makeMessages(prefix)
        const requests = Array.from({ length: 60 }, (_, n) => one.request(Add, { n }))
        // Far more at once than the pool has connections.
        yield* Effect.forEach(requests, (request) => one.messages.saveRequest(request), { concurrency: "unbounded" })
        const readers = [one.unread, two.unread, one.unread, two.unread]
        const read = (yield* Effect.all(readers, { concurrency: "unbounded" })).flat()
        const ids = read.map((envelope) => `${(envelope as Envelope.Request.PartialEncoded).requestId}`)
        assert.deepStrictEqual(ids.sort(), requests.map(({ envelope }) => `${envelope.requestId}`).sort())
        yield* Effect.forEach(requests, (request) => two.messages.saveReply(two.exit(request, 0)), {
          concurrency: "unbounded"
        })
        assert.lengthOf(yield* one.messages.repliesFor(requests), 60)
      }))
  })

  describe("R31: SqlRunnerStorage", () => {
    it.scoped("runners register, are healthy or not, and go", () =>
      Effect.gen(function*() {
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix)
        const two = yield* makeRunner(2, prefix)
        const ids = [yield* one.storage.register(one.runner, true), yield* two.storage.register(two.runner, true)]
        assert.deepStrictEqual(ids, [1, 2])
        assert.strictEqual(yield* one.storage.register(one.runner, true), 1 as any)
        yield* one.storage.setRunnerHealth(two.address, false)
        const runners = yield* two.storage.getRunners
        assert.deepStrictEqual(runners.sort(([a], [b]) => a.address.port - b.address.port), [
          [one.runner, true],
          [two.runner, false]
        ])
        yield* two.storage.unregister(two.address)
        assert.deepStrictEqual(yield* one.storage.getRunners, [[one.runner, true]])
      }))

    it.scoped("shards are advisory locks of one session, which is held for the life of the layer", () =>
      Effect.gen(function*() {
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix, { expires: 200, maxUses: 1 })
        const two = yield* makeRunner(2, prefix)
        assert.deepStrictEqual(yield* one.acquire, allShards)
        const held = yield* one.locks
        assert.lengthOf(new Set(held.map(({ pid }) => pid)), 1)
        assert.lengthOf(held, allShards.length)
        assert.deepStrictEqual(yield* two.acquire, [])

        // The pool may renew all others meanwhile.
        yield* one.storage.getRunners
        yield* pause(300)
        yield* eventually(one.pool.stats, ({ closed }) => closed.used > 0)
        assert.deepStrictEqual(yield* one.refresh, allShards)
        assert.deepStrictEqual(yield* one.locks, held)
        assert.deepInclude(yield* one.pool.stats, { busy: 1 })

        yield* one.storage.release(one.address, shard(3))
        assert.deepStrictEqual(yield* two.acquire, ["default:3"])
        assert.deepStrictEqual(yield* one.refresh, allShards.filter((id) => id !== "default:3"))
        yield* one.storage.releaseAll(one.address)
        assert.deepStrictEqual(yield* one.locks, [])
        assert.deepStrictEqual(yield* two.acquire, allShards)
      }))

    it.scoped("the shards are free when the layer is closed, and nothing of it is left on the server", () =>
      Effect.gen(function*() {
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix)
        const two = yield* makeRunner(2, prefix)
        yield* one.acquire
        yield* one.close
        assert.deepStrictEqual(yield* two.acquire, allShards)
        yield* eventually(one.sessions, (sessions) => sessions.length === 0)
      }))

    it.scoped("when only the storage is closed its session is back in the pool, without the locks", () =>
      Effect.gen(function*() {
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix)
        const two = yield* makeRunner(2, prefix)
        yield* one.acquire
        const [{ pid }] = yield* one.locks
        yield* one.closeStorage
        assert.deepInclude(yield* one.pool.stats, { busy: 0 })
        assert.include((yield* one.sessions).map((session) => session.pid), pid)
        assert.deepStrictEqual(yield* two.acquire, allShards)
      }))

    it.scoped("a session that is killed on the server frees its shards, and the storage reserves another", () =>
      Effect.gen(function*() {
        const { server } = yield* Database.Database
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix)
        const two = yield* makeRunner(2, prefix)
        yield* one.acquire
        const [{ pid }] = yield* one.locks
        yield* server.terminate(pid)
        assert.deepStrictEqual(yield* two.acquire, allShards)
        assert.strictEqual((yield* Effect.flip(one.refresh))._tag, "PersistenceError")
        assert.deepStrictEqual(yield* one.refreshAgain, [])
        yield* two.storage.releaseAll(two.address)
        assert.deepStrictEqual(yield* one.acquire, allShards)
        const held = yield* one.locks
        assert.lengthOf(held, allShards.length)
        assert.notInclude(held.map(({ pid }) => pid), pid)
        assert.deepInclude(yield* one.pool.stats, { busy: 1 })
      }))

    it.scoped("a statement that is stuck on the server is cancelled, and the storage goes on", () =>
      Effect.gen(function*() {
        const { url } = yield* Database.Database
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix, {}, hasty)
        yield* one.acquire
        const other = yield* watch(url)
        yield* other.query("BEGIN")
        yield* other.query(`LOCK TABLE ${prefix}_runners`)
        assert.strictEqual((yield* Effect.flip(one.refresh))._tag, "PersistenceError")
        yield* eventually(one.sessions, (sessions) => areAll(sessions, ({ state }) => state === "idle"))
        yield* other.query("ROLLBACK")
        assert.deepStrictEqual(yield* one.refreshAgain, allShards)
        const held = yield* one.locks
        assert.lengthOf(held, allShards.length)
        assert.lengthOf(new Set(held.map(({ pid }) => pid)), 1)
      }))

    it.scoped("a session whose socket says nothing any more is given up, with its shards", () =>
      Effect.gen(function*() {
        const { url } = yield* Database.Database
        const proxy = yield* Proxy.start(url)
        const prefix = uniqueName()
        // The storage rebuilds where nothing can be interrupted: only a deadline of the pool can end what it waits for.
        const options = { url: proxy.url, queryTimeout: 500, connectTimeout: 500, cleanupTimeout: 100 }
        const one = yield* makeRunner(1, prefix, options, hasty)
        const two = yield* makeRunner(2, prefix)
        yield* one.acquire
        proxy.blackhole()
        assert.strictEqual((yield* Effect.flip(one.refresh))._tag, "PersistenceError")
        assert.deepStrictEqual(yield* eventually(two.acquire, (ids) => ids.length > 0), allShards)
        proxy.heal()
        assert.deepStrictEqual(yield* one.refreshAgain, [])
        yield* two.storage.releaseAll(two.address)
        assert.deepStrictEqual(yield* one.acquireAgain, allShards)
      }))

    it.scoped("without advisory locks the shards are rows, and one runner's all the same", () =>
      Effect.gen(function*() {
        const prefix = uniqueName()
        const one = yield* makeRunner(1, prefix, {}, { shardLockDisableAdvisory: true })
        const two = yield* makeRunner(2, prefix, {}, { shardLockDisableAdvisory: true })
        assert.deepStrictEqual(yield* one.acquire, allShards)
        assert.deepStrictEqual(yield* two.acquire, [])
        assert.deepStrictEqual(yield* one.refresh, allShards)
        assert.deepStrictEqual(yield* one.locks, [])
        yield* one.storage.releaseAll(one.address)
        assert.deepStrictEqual(yield* two.acquire, allShards)
      }))
  })
})
