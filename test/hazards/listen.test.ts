import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import { areAll } from "../support/areAll.js"
import type { Client } from "../support/hazards.js"
import { atOnce, describeOurs, hazard, makeClient } from "../support/hazards.js"
import { eventually, makePool, uniqueName, watch } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

interface Listener {
  readonly heard: Array<string>
  readonly end: Effect.Effect<unknown>
}

/** Listens until the end of the scope. It is back once its first notification has come. */
const listen = (client: Client, channel: string): Effect.Effect<Listener, never, Scope.Scope> =>
  Effect.gen(function*() {
    const heard: Array<string> = []
    const fiber = yield* Effect.forkScoped(
      Stream.runForEach(client.sql.listen(channel), (payload) => Effect.sync(() => heard.push(payload)))
    )
    const listener = { heard, end: Fiber.interrupt(fiber) }
    yield* reaches(client, channel, [listener], "ready")
    return listener
  })

/** Notifies past the client, again and again, until all of them have heard it. */
const reaches = (
  { server }: Pick<Client, "server">,
  channel: string,
  listeners: ReadonlyArray<Listener>,
  payload: string
): Effect.Effect<unknown> =>
  eventually(
    Effect.zipRight(
      server.query("SELECT pg_notify($1, $2)", [channel, payload]),
      Effect.sync(() => listeners.map(({ heard }) => heard.includes(payload)))
    ),
    (all) => areAll(all, (isHeard) => isHeard)
  )

const killListener = ({ server, until }: Pick<Client, "server" | "until">): Effect.Effect<void> =>
  Effect.flatMap(
    until((sessions) => sessions.some(({ query }) => query.startsWith("LISTEN"))),
    (sessions) => server.terminate(sessions.find(({ query }) => query.startsWith("LISTEN"))!.pid)
  )

describe("notify always fails", () => {
  hazard("it works, for any channel and payload, also in a transaction", () =>
    Effect.gen(function*() {
      const channel = `${uniqueName()} "Odd"`
      const client = yield* makeClient()
      const { sql } = client
      const { heard } = yield* listen(client, channel)
      heard.length = 0
      yield* sql.notify(channel, "it's $1")
      yield* sql.withTransaction(sql.notify(channel, "committed"))
      yield* Effect.flip(sql.withTransaction(Effect.zipRight(sql.notify(channel, "rolled back"), Effect.fail("no"))))
      yield* sql.notify(channel, "last")
      yield* eventually(Effect.sync(() => heard), (heard) => heard.includes("last"))
      assert.deepStrictEqual(heard.filter((payload) => payload !== "ready"), ["it's $1", "committed", "last"])
    }))
})

describe("an empty payload is dropped", () => {
  hazard("it is heard", () =>
    Effect.gen(function*() {
      const channel = uniqueName()
      const client = yield* makeClient()
      const listener = yield* listen(client, channel)
      yield* reaches(client, channel, [listener], "")
    }))
})

describe("the end of one listener silences another", () => {
  hazard("the others of its channel, and of other channels, go on", () =>
    Effect.gen(function*() {
      const [channel, other] = [uniqueName(), uniqueName()]
      const client = yield* makeClient()
      const first = yield* listen(client, channel)
      const second = yield* listen(client, channel)
      const third = yield* listen(client, other)
      yield* atOnce(first.end)
      yield* reaches(client, other, [third], "after the end")
      yield* reaches(client, channel, [second], "after the end")
    }))
})

describe("after a lost connection listeners are silent for ever", () => {
  hazard("a listener whose session was killed listens again", () =>
    Effect.gen(function*() {
      const channel = uniqueName()
      const client = yield* makeClient()
      const listener = yield* listen(client, channel)
      for (const payload of ["one", "two"]) {
        yield* killListener(client)
        yield* reaches(client, channel, [listener], payload)
      }
    }))

  hazard("all listeners of all channels listen again, and newcomers too", () =>
    Effect.gen(function*() {
      const [channel, other] = [uniqueName(), uniqueName()]
      const client = yield* makeClient()
      const listeners = [yield* listen(client, channel), yield* listen(client, channel)]
      const others = [yield* listen(client, other)]
      yield* killListener(client)
      yield* reaches(client, channel, listeners, "again")
      yield* reaches(client, other, others, "again")
      const newcomer = yield* listen(client, channel)
      yield* atOnce(listeners[0].end)
      yield* reaches(client, channel, [listeners[1], newcomer], "to the end")
    }))

  hazard("a listener outlives a restart of the server", () =>
    Effect.gen(function*() {
      const channel = uniqueName()
      const postgres = yield* Postgres.start()
      const url = Redacted.make(postgres.url)
      const client = yield* makeClient({ url, watched: url })
      const listener = yield* listen(client, channel)
      yield* postgres.stop()
      yield* postgres.start
      const server = yield* watch(url)
      yield* reaches({ server }, channel, [listener], "again")
    }), "20 seconds")
})

// Stock has no such stream, and nothing to tell by it.
describeOurs("ours alone: after a lost connection", () => {
  hazard("a listener can be told that it may have missed something", () =>
    Effect.gen(function*() {
      const channel = uniqueName()
      const { pool, server, until } = yield* makePool()
      const events: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(pool.listen(channel), ({ _tag }) => Effect.sync(() => events.push(_tag)))
      )
      const hear = (holds: () => boolean) =>
        eventually(
          Effect.zipRight(server.query("SELECT pg_notify($1, '')", [channel]), Effect.sync(() => events)),
          (events) => events.at(-1) === "Notification" && holds()
        )
      yield* hear(() => true)
      assert.notInclude(events, "Reconnected")
      yield* killListener({ server, until })
      yield* hear(() => events.includes("Reconnected"))
    }))
})
