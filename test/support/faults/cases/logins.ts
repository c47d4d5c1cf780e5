/** Servers that are full, or know another password. */
import { Effect, Redacted } from "effect"
import * as pg from "pg"
import { within } from "../../server.js"
import type { Case, Seen } from "../case.js"
import { atLeast, atMost, fullRateWithin, nobodyFails, soon } from "../case.js"
import type { Stage } from "../stage.js"

/** Sessions of somebody else's. */
const hog = (url: Redacted.Redacted) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: Redacted.value(url), application_name: "hog" })
      client.on("error", () => {})
      await client.connect()
      return client
    }),
    (client) => Effect.sync(() => client.connection.stream.destroy())
  )

const full: Case = {
  name: "53300 with 4 free slots",
  deadline: 3000,
  // Three are for superusers.
  parameters: { max_connections: "17" },
  arrange: ({ url }) => Effect.all(Array.from({ length: 10 }, () => hog(url))),
  break: () => Effect.void,
  lasts: 2000,
  heal: ({ admin, app, figures, size }) =>
    Effect.gen(function*() {
      yield* admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hog'")
      const released = performance.now()
      const sessions = yield* within(3000, admin.sessions(app), ({ length }) => length === size)
      figures.grown = sessions.length
      figures.growth = performance.now() - released
    }),
  expect: (seen) => [
    nobodyFails(seen),
    atMost("dials in a second", seen.dials, 20),
    // Where statements share connections fewer may do.
    ...(seen.share > 1 ? [] : [
      atLeast("sessions after the release", seen.figures.grown, 10),
      soon(seen, "ms until they were there", seen.figures.growth, 1000)
    ])
  ]
}

const change = ({ admin }: Pick<Stage, "admin">, password: string) =>
  admin.query(`ALTER ROLE app PASSWORD '${password}'`)

/** Logins in a second, but not the first ones, after which the pool has to know. */
const countLogins = ({ contender: { sockets }, figures }: Stage) =>
  Effect.gen(function*() {
    yield* Effect.sleep(1000)
    const from = performance.now()
    yield* Effect.sleep(4000)
    figures.logins = sockets.dialsBetween(from, performance.now()) / 4
  })

const fewLogins = ({ figures }: Seen) => atMost("logins in a second", figures.logins, 2)

const wrongPassword: Case = {
  name: "wrong password",
  deadline: 3000,
  isCold: true,
  arrange: (stage) => change(stage, "another"),
  break: () => Effect.void,
  heal: (stage) =>
    Effect.gen(function*() {
      yield* countLogins(stage)
      const told = stage.load.calls.filter(({ outcome }) => outcome === "refused").map(({ error }) => String(error))
      stage.figures.unclear = told.filter((message) => !message.includes("password authentication failed")).length
      yield* change(stage, stage.vault.password)
    }),
  expect: (seen) => [
    fewLogins(seen),
    atLeast("callers who were refused", seen.refused, 1),
    atMost("other failures", seen.failed - seen.refused + seen.deadlines, 0),
    atMost("unclear errors", seen.figures.unclear, 0),
    soon(seen, "ms to the first answer with the right one", seen.first, 1000)
  ]
}

const rotation: Case = {
  name: "rotation with a provider",
  deadline: 3000,
  ours: (vault) => ({
    password: Effect.sync(() => Redacted.make(vault.password)),
    // All are opened again and again.
    expires: "500 millis"
  }),
  break: (stage) =>
    Effect.forEach(["second", "third", "fourth"], (password) =>
      Effect.gen(function*() {
        yield* change(stage, password)
        stage.vault.password = password
        yield* Effect.sleep(1000)
      })),
  expect: (seen) => [nobodyFails(seen), atLeast("dials in a second", seen.dials, 5), fullRateWithin(1000)(seen)]
}

const outdated: Case = {
  name: "rotation without a provider",
  deadline: 3000,
  break: (stage) =>
    Effect.gen(function*() {
      const { admin, app, figures } = stage
      yield* change(stage, "another")
      // Three are left, and go on serving everybody.
      const killed = yield* admin.query(
        `SELECT pg_terminate_backend(pid)
         FROM (SELECT pid FROM pg_stat_activity WHERE application_name = $1 OFFSET 3) AS others`,
        [app]
      )
      figures.kills = killed.length
      yield* countLogins(stage)
    }),
  heal: (stage) => change(stage, stage.vault.password),
  expect: (seen) => [
    fewLogins(seen),
    atMost("callers who failed", seen.failed, seen.figures.kills * seen.share),
    atMost("callers whose deadline passed", seen.deadlines, 0),
    atLeast("calls in a second that three connections serve", seen.during, seen.before * 0.2),
    fullRateWithin(1000)(seen)
  ]
}

export const logins: ReadonlyArray<Case> = [full, wrongPassword, rotation, outdated]
