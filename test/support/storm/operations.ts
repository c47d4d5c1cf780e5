/** What the fibers of a storm do. All chance is drawn before anything runs, so that a seed gives the same choices. */
import type { PgClient } from "@effect/sql-pg"
import type { Connection } from "@effect/sql/SqlConnection"
import { Effect, Option, Stream } from "effect"
import type { PgPool } from "effect-pgpool"
import type { Ledger, Level } from "./ledger.js"
import { cutOff, drawMoment } from "./moment.js"
import type { Act } from "./statements.js"
import { statement, statementOn, stream } from "./statements.js"
import type { Operation } from "./witness.js"
import { Deliberate } from "./witness.js"

/** What they do it with. */
export interface Stage {
  readonly sql: PgClient.PgClient
  /** Only our own client has one. */
  readonly pool: PgPool.PgPool | undefined
  readonly ledger: Ledger
  readonly channels: ReadonlyArray<string>
}

type Step = (level: Level) => Act
type Make = (stage: Stage, operation: Operation) => Act

const put = ({ ledger, sql }: Stage): Step => (level) => ledger.put(level, (text, params) => sql.unsafe(text, params))

const anyStep = (stage: Stage, operation: Operation): Step => {
  const { chance } = operation
  const plain = statement(operation, stage.sql, 0)
  const slow = statement(operation, stage.sql, chance.integer(1, 8))
  const rows = stream(operation, stage.sql, plain)
  return chance.pick([put(stage), put(stage), () => plain, () => slow, () => rows])
}

/** Steps one after the other or at the same time. */
const steps = (stage: Stage, operation: Operation): Step => {
  const all = operation.chance.many(1, 4, () => anyStep(stage, operation))
  const concurrency = operation.chance.is(0.3) ? "unbounded" : 1
  return (level) => Effect.forEach(all, (step) => step(level), { concurrency, discard: true })
}

const failure = ({ sql }: Stage, operation: Operation): Act =>
  operation.chance.pick<Act>([
    Effect.fail(new Deliberate()),
    operation.refusal("22012", sql`SELECT 1 / 0`),
    operation.refusal("22012", sql`SELECT 1 / ${0}::integer`),
    operation.refusal("42601", sql.unsafe("SELEKT 1"))
  ])

/**
 * A nested transaction with others and plain statements below, one after the other or at the same time. Some fail, and
 * most of these failures are caught.
 */
const nested = (stage: Stage, operation: Operation, depth: number): Step => {
  const { chance } = operation
  const before = anyStep(stage, operation)
  const children = depth === 0 ?
    [] :
    chance.many(0, 3, () => chance.is(0.3) ? anyStep(stage, operation) : nested(stage, operation, depth - 1))
  const after = put(stage)
  const end = chance.is(0.2) ? failure(stage, operation) : Effect.void
  const concurrency = chance.is(0.5) ? "unbounded" : 1
  const isCaught = chance.is(0.8)
  return (level) =>
    stage.ledger.savepoint(level, (level) =>
      before(level).pipe(
        Effect.zipRight(Effect.forEach(children, (child) => child(level), { concurrency, discard: true })),
        Effect.zipRight(after(level)),
        Effect.zipRight(end)
      )).pipe(Effect.catchAll((error): Act => {
        if (isCaught && error instanceof Deliberate) return Effect.void
        // Its siblings are interrupted.
        operation.isCutOff = true
        return Effect.fail(error)
      }))
}

/** The body goes on after a statement that it has cut off. */
const impatient: Make = (stage, operation) => {
  const { chance } = operation
  const slow = statement(operation, stage.sql, chance.integer(0, 12))
  const moment = drawMoment(chance, 12)
  return stage.ledger.transaction(operation, (level) =>
    Effect.gen(function*() {
      yield* put(stage)(level)
      let isSent = false
      const sent = Effect.suspend(() => {
        isSent = true
        return slow
      })
      if (Option.isNone(yield* cutOff(sent, moment))) {
        operation.isCutOff = true
        level.entry.isDoomed = isSent
      }
      yield* put(stage)(level)
    }))
}

/** What was cut off is undone by itself, and the outer transaction goes on; but not where it was in its RELEASE. */
const impatientInside: Make = (stage, operation) => {
  const { chance } = operation
  const slow = statement(operation, stage.sql, chance.integer(0, 12))
  const moment = drawMoment(chance, 12)
  return stage.ledger.transaction(operation, (level) =>
    Effect.gen(function*() {
      yield* put(stage)(level)
      let isAtItsEnd = false
      const end = Effect.sync(() => {
        isAtItsEnd = true
      })
      const child = stage.ledger.savepoint(level, (level) =>
        put(stage)(level).pipe(Effect.zipRight(slow), Effect.zipRight(end)))
      if (Option.isNone(yield* cutOff(child, moment)) && isAtItsEnd) {
        operation.isCutOff = true
      }
      yield* put(stage)(level)
    }))
}

/** Several statements, perhaps at the same time. Some are cut off, which the others must not notice. */
const onConnection = (operation: Operation): (connection: Connection) => Act => {
  const { chance } = operation
  const parts = chance.many(1, 4, () => {
    const ask = statementOn(operation, chance.is(0.4) ? chance.integer(1, 10) : 0)
    const moment = chance.is(0.4) ? drawMoment(chance, 10) : undefined
    return (connection: Connection) => moment === undefined ? ask(connection) : cutOff(ask(connection), moment)
  })
  const concurrency = chance.is(0.4) ? "unbounded" : 1
  return (connection) => Effect.forEach(parts, (part) => part(connection), { concurrency, discard: true })
}

/** R15: a lease is dead afterwards. */
const deadAfterwards = (operation: Operation, connection: Connection): Act =>
  Effect.matchEffect(connection.execute("SELECT 1", [], undefined), {
    onFailure: () => Effect.void,
    onSuccess: () => Effect.sync(() => operation.witness.fault(`${operation.name}: a lease was of use after its end`))
  })

const reserve: Make = ({ pool, sql }, operation) => {
  const use = onConnection(operation)
  const scoped = Effect.scoped(Effect.tap(sql.reserve, use))
  // Stock lends the connection itself, which is somebody else's by then.
  return pool === undefined ? scoped : Effect.flatMap(scoped, (connection) => deadAfterwards(operation, connection))
}

/** A transaction begun by hand and left open: nothing of it may be stored, and nobody may be in it (R15). */
const leftOpen: Make = ({ ledger, sql }, operation) =>
  Effect.suspend(() => {
    const level = ledger.enter(operation)
    return Effect.scoped(Effect.flatMap(sql.reserve, (connection) =>
      connection.executeRaw("BEGIN", []).pipe(
        Effect.zipRight(ledger.put(level, (text, params) => connection.execute(text, params, undefined)))
      )))
  })

const fromPool: Make = ({ pool }, operation) => {
  const use = onConnection(operation)
  const isBroken = operation.chance.is(0.1)
  return Effect.scoped(
    Effect.flatMap(
      pool!.get,
      (connection) => Effect.zipRight(use(connection), isBroken ? pool!.invalidate(connection) : Effect.void)
    )
  )
}

const usePool: Make = ({ pool }, operation) => {
  const use = onConnection(operation)
  return Effect.flatMap(
    pool!.use((connection) => Effect.as(use(connection), connection)),
    (connection) => deadAfterwards(operation, connection)
  )
}

/** Statements, some of them cut off, and a transaction, all on one connection. */
const onOneConnection: Make = (stage, operation) => {
  const { chance } = operation
  const parts = chance.many(1, 3, () => {
    const ask = statement(operation, stage.sql, chance.is(0.4) ? chance.integer(1, 10) : 0)
    return chance.is(0.4) ? cutOff(ask, drawMoment(chance, 10)) : ask
  })
  const within = transaction(stage, operation)
  const processId = Effect.map(stage.sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([{ pid }]) => pid)
  return stage.pool!.withConnection(Effect.gen(function*() {
    const pid = yield* processId
    yield* Effect.all(parts, { discard: true })
    yield* within
    if ((yield* processId) !== pid) operation.witness.fault(`${operation.name}: it was not one connection`)
  }))
}

/** Says something until it is heard: nobody is told when a listener has begun to listen. */
const listen: Make = ({ channels, sql }, operation) => {
  const channel = operation.chance.pick(channels)
  return Effect.suspend(() => {
    const own = `${channel}/${operation.witness.number()}`
    const heard = sql.listen(channel).pipe(
      Stream.tap((payload) =>
        Effect.sync(() => {
          if (!payload.startsWith(channel)) operation.witness.fault("a listener heard another channel")
        })
      ),
      Stream.filter((payload) => payload === own),
      Stream.runHead
    )
    return Effect.raceFirst(heard, Effect.forever(Effect.zipLeft(sql.notify(channel, own), Effect.sleep(5))))
  })
}

const transaction: Make = (stage, operation) => stage.ledger.transaction(operation, steps(stage, operation))

const isolated: Make = (stage, operation) => {
  const isolation = operation.chance.pick(["read committed", "repeatable read", "serializable"] as const)
  return stage.ledger.transaction(operation, steps(stage, operation), stage.pool!.transaction({ isolation }))
}

const failing: Make = (stage, operation) => {
  const before = steps(stage, operation)
  const end = operation.chance.is(0.2) ? Effect.die(new Deliberate()) : failure(stage, operation)
  return stage.ledger.transaction(operation, (level) => Effect.zipRight(before(level), end))
}

/** A statement has failed and the body goes on all the same: COMMIT must not succeed. */
const defiant: Make = (stage, operation) => {
  const refusal = operation.refusal("22012", stage.sql`SELECT 1 / 0`)
  return stage.ledger.transaction(operation, (level) =>
    Effect.gen(function*() {
      yield* put(stage)(level)
      yield* Effect.ignore(refusal)
      operation.isCutOff = true
      level.entry.isDoomed = true
    }))
}

const manyAtOnce: Make = (stage, operation) => {
  const all = operation.chance.many(2, 6, () => statement(operation, stage.sql, operation.chance.integer(0, 5)))
  return Effect.all(all, { concurrency: "unbounded", discard: true })
}

const nestedTransactions = (stage: Stage, operation: Operation): Act =>
  stage.ledger.transaction(operation, nested(stage, operation, 2))

/** Each as likely as the next. */
const operations: Record<string, Make> = {
  "statement": ({ sql }, operation) => statement(operation, sql, 0),
  "slow statement": ({ sql }, operation) => statement(operation, sql, operation.chance.integer(0, 30)),
  "statements at once": manyAtOnce,
  "failing statement": failure,
  "stream": ({ sql }, operation) => stream(operation, sql),
  transaction,
  "failing transaction": failing,
  "defiant transaction": defiant,
  "nested transactions": nestedTransactions,
  "impatient transaction": impatient,
  "impatient nested transaction": impatientInside,
  reserve,
  "transaction left open": leftOpen,
  "listen and notify": listen
}

const operationsOfPool: Record<string, Make> = {
  ...operations,
  "pool.get": fromPool,
  "pool.use": usePool,
  "pool.withConnection": onOneConnection,
  "pool.transaction": isolated
}

/** What a client can do. */
export const repertoire = ({ pool }: Stage): ReadonlyArray<readonly [name: string, make: Make]> =>
  Object.entries(pool === undefined ? operations : operationsOfPool)
