/**
 * Heavy timeouts: of the statements half are cut off, many just when they end by themselves, while their cancel is on
 * its way. The other half must not notice (R16).
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { Effect, Option } from "effect"
import type { Chance } from "./chance.js"
import type { Turn } from "./crowd.js"
import type { Moment } from "./moment.js"
import { cutOff } from "./moment.js"
import type { Stage } from "./operations.js"
import type { Act } from "./statements.js"
import { statement, statementOn, stream } from "./statements.js"
import type { Operation } from "./witness.js"

export class Innocents {
  asked = 0
  cutOff = 0

  constructor(
    private readonly stage: Stage,
    /** How many are asked at the least. */
    private readonly wanted: number
  ) {}

  get isOver(): boolean {
    return this.asked >= this.wanted && this.cutOff >= this.wanted
  }

  readonly turn = (chance: Chance): Turn => {
    const all = this.asked < this.cutOff ? this.innocent : this.guiltyOf(this.stage)
    const [name, make] = chance.pick(Object.entries({ ...all, "statements of one lease": this.onLease }))
    return { name, make, interruptAt: undefined }
  }

  private readonly innocent: Record<string, (operation: Operation) => Act> = {
    "innocent statement": (operation) =>
      this.asks(statement(operation, this.stage.sql, operation.chance.integer(0, 3))),
    "innocent transaction": (operation) => {
      const statements = operation.chance.many(1, 3, (i) => this.asks(statement(operation, this.stage.sql, i)))
      return this.stage.sql.withTransaction(Effect.all(statements, { discard: true }))
    },
    "innocent stream": (operation) => this.asks(stream(operation, this.stage.sql))
  }

  private readonly guilty: Record<string, (operation: Operation) => Act> = {
    "impatient statement": (operation) => {
      const millis = drawLength(operation.chance)
      return this.cutsOff(operation, millis, statement(operation, this.stage.sql, millis))
    },
    "impatient transaction": (operation) => {
      const millis = drawLength(operation.chance)
      const body = statement(operation, this.stage.sql, millis)
      return this.cutsOff(operation, millis, this.stage.sql.withTransaction(body))
    },
    "impatient nested transaction": (operation) => {
      const millis = drawLength(operation.chance)
      const body = statement(operation, this.stage.sql, millis)
      const { sql } = this.stage
      return this.cutsOff(operation, millis, sql.withTransaction(sql.withTransaction(body)))
    },
    "impatient stream": (operation) => this.cutsOff(operation, 4, stream(operation, this.stage.sql))
  }

  private guiltyOf({ pool }: Stage): Innocents["guilty"] {
    if (pool !== undefined) return this.guilty
    // Stock loses the connection of a stream that is interrupted while it waits for one: soon nobody could be hit.
    const { ["impatient stream"]: _, ...rest } = this.guilty
    return rest
  }

  /** The worst place: what was cut off and what must not be hit have the same session, one after the other. */
  private readonly onLease = (operation: Operation): Act => {
    const parts = operation.chance.many(2, 6, (i) => {
      const millis = i % 2 === 0 ? drawLength(operation.chance) : operation.chance.integer(0, 2)
      const ask = statementOn(operation, millis)
      if (i % 2 === 1) return (connection: Connection) => this.asks(ask(connection))
      const moment = drawEnd(operation.chance, millis)
      return (connection: Connection) => this.countsCutOff(cutOff(ask(connection), moment))
    })
    return Effect.scoped(
      Effect.flatMap(
        this.stage.sql.reserve,
        (connection) => Effect.forEach(parts, (part) => part(connection), { discard: true })
      )
    )
  }

  private asks(act: Act): Act {
    return Effect.suspend(() => {
      this.asked++
      return act
    })
  }

  private cutsOff(operation: Operation, millis: number, act: Act): Act {
    return this.countsCutOff(cutOff(act, drawEnd(operation.chance, millis)))
  }

  private countsCutOff(act: Effect.Effect<Option.Option<unknown>, unknown>): Act {
    return Effect.map(act, (end) => {
      if (Option.isNone(end)) this.cutOff++
    })
  }
}

/** Milliseconds that a statement takes. */
const drawLength = (chance: Chance): number => chance.is(0.3) ? 0 : chance.integer(1, 10)

/** About when the statement ends by itself, or before. */
const drawEnd = (chance: Chance, millis: number): Moment =>
  millis === 0 ? { turns: chance.integer(0, 6) } : { millis: chance.is(0.5) ? millis : chance.integer(0, millis) }
