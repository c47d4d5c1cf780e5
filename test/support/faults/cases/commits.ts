/** What callers are told about a COMMIT, and what is true. The ledger is compared after each case. */
import { Effect } from "effect"
import type { Call } from "../call.js"
import type { Case, Seen } from "../case.js"
import { atMost, proxied } from "../case.js"
import type { Statement } from "../contender.js"
import type { Stage } from "../stage.js"

const count = 25

/** Writes into the ledger, with `more` in the same transaction. */
const write = ({ contender, ledger, load }: Stage, more: ReadonlyArray<Statement> = []): Effect.Effect<Call> =>
  Effect.suspend(() => {
    const { id, statements } = ledger.next()
    return Effect.tap(
      load.record("transaction", contender.transaction([...statements, ...more])),
      (ended) => Effect.sync(() => ledger.ended(id, ended))
    )
  })

/** The same, but what happens between the last statement and COMMIT is given. */
const writeAnd = ({ contender, ledger, load }: Stage, last: Effect.Effect<unknown, unknown>): Effect.Effect<Call> =>
  Effect.suspend(() => {
    const { client } = contender.ours!
    const { id, statements } = ledger.next()
    const body = Effect.forEach(statements, ([text, params]) => client.unsafe(text, params as Array<unknown>))
    return Effect.tap(
      load.record("transaction", client.withTransaction(Effect.zipRight(body, last))),
      (ended) => Effect.sync(() => ledger.ended(id, ended))
    )
  })

const all = (outcome: "refused" | "unknown" | "deadlines") => (seen: Seen) => [
  atMost(`transactions that did not end as ${outcome}`, count - seen[outcome], 0),
  atMost("transactions acknowledged", seen.acknowledged, 0)
]

const common = { deadline: 3000, isIdle: true } as const

const deferred: Case = {
  ...common,
  name: "commit: a deferred constraint",
  arrange: ({ admin }) =>
    admin.query(`
      CREATE TABLE deferred (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
      INSERT INTO deferred VALUES (1);
      GRANT ALL ON deferred TO PUBLIC
    `),
  break: (stage) =>
    Effect.replicateEffect(write(stage, [["INSERT INTO deferred VALUES (1)", []]]), count, { concurrency: 10 }),
  expect: all("refused")
}

/** COMMIT of a transaction that a failed statement has aborted is answered, without an error, by ROLLBACK. */
const aborted: Case = {
  ...common,
  name: "commit: aborted",
  break: (stage) =>
    Effect.replicateEffect(writeAnd(stage, Effect.ignore(stage.contender.ours!.client`SELECT 1 / 0`)), count, {
      concurrency: 10
    }),
  expect: all("refused")
}

const answerLost: Case = {
  ...common,
  name: "commit: its answer lost",
  through: proxied,
  break: (stage) =>
    Effect.gen(function*() {
      const { proxy } = stage
      proxy.onRequest = (chunk) => {
        if (!chunk.includes("COMMIT")) return
        proxy.blackhole("answers")
        setTimeout(() => {
          proxy.reset()
          proxy.heal()
        }, 20)
      }
      yield* Effect.replicateEffect(write(stage), count)
      proxy.onRequest = () => {}
    }),
  expect: all("unknown")
}

const killedBefore: Case = {
  ...common,
  name: "commit: killed before it",
  break: (stage) =>
    Effect.gen(function*() {
      const { admin, contender } = stage
      const kill = Effect.gen(function*() {
        const [{ pid }] = yield* contender.ours!.client<{ pid: number }>`SELECT pg_backend_pid() AS pid`
        yield* admin.query("SELECT pg_terminate_backend($1, 1000)", [pid])
      })
      yield* Effect.replicateEffect(writeAnd(stage, kill), count)
    }),
  expect: (seen) => [
    atMost("transactions that may have been stored", count - seen.retryable - seen.refused, 0),
    atMost("transactions acknowledged", seen.acknowledged, 0)
  ]
}

/** The server waits in COMMIT for a standby that never comes: what it has stored, it does not acknowledge. */
const standbyAway: Case = {
  ...common,
  name: "commit: interrupted in it, with a synchronous standby away",
  deadline: 500,
  break: (stage) =>
    Effect.gen(function*() {
      const { admin } = stage
      yield* admin.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
      yield* admin.query("SELECT pg_reload_conf()")
      yield* Effect.sleep(200)
      yield* Effect.replicateEffect(write(stage), count, { concurrency: "unbounded" })
    }),
  heal: ({ admin }) =>
    Effect.zipRight(
      admin.query("ALTER SYSTEM RESET synchronous_standby_names"),
      admin.query("SELECT pg_reload_conf()")
    ),
  expect: all("deadlines")
}

export const commits: ReadonlyArray<Case> = [deferred, aborted, answerLost, killedBefore, standbyAway]
