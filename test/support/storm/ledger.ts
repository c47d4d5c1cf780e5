import type { SqlClient } from "@effect/sql"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect } from "effect"
import type { Operation, Witness } from "./witness.js"

/** What one transaction writes. */
interface Entry {
  readonly id: number
  readonly operation: Operation
  /**
   * - `never`: its body has not come to its end, so nothing of it may be there
   * - `perhaps`: COMMIT may have been sent: all of it is there, or nothing
   * - `stored`: COMMIT was acknowledged: all of it is there
   */
  state: "never" | "perhaps" | "stored"
  /** A statement of it was cut off, so it must not be stored (R22). */
  isDoomed: boolean
  parts: number
}

/** A transaction or a savepoint. */
export interface Level {
  readonly entry: Entry
  /** The parts that are there if it succeeds. */
  readonly kept: Set<number>
}

/** A table in which each transaction leaves its traces, so that afterwards nothing can be lost or there twice. */
export class Ledger {
  private readonly entries: Array<Level> = []

  constructor(
    private readonly sql: SqlClient.SqlClient,
    private readonly witness: Witness,
    private readonly table: string
  ) {}

  /** For writes that are never committed. */
  enter(operation: Operation): Level {
    const entry: Entry = { id: this.witness.number(), operation, state: "never", isDoomed: false, parts: 0 }
    const level = { entry, kept: new Set<number>() }
    this.entries.push(level)
    return level
  }

  transaction<E>(
    operation: Operation,
    body: (level: Level) => Effect.Effect<unknown, E>,
    within: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError> = this.sql.withTransaction
  ): Effect.Effect<void, E | SqlError> {
    return Effect.suspend(() => {
      const level = this.enter(operation)
      const { entry } = level
      const isAtItsEnd = Effect.sync(() => {
        entry.state = "perhaps"
      })
      return Effect.map(within(Effect.zipRight(body(level), isAtItsEnd)), () => {
        entry.state = "stored"
      })
    })
  }

  savepoint<E>(
    outer: Level,
    body: (level: Level) => Effect.Effect<unknown, E>
  ): Effect.Effect<void, E | SqlError> {
    return Effect.suspend(() => {
      const level: Level = { entry: outer.entry, kept: new Set() }
      return Effect.map(this.sql.withTransaction(body(level)), () => {
        for (const part of level.kept) outer.kept.add(part)
      })
    })
  }

  /** Writes one part, on `run`'s connection. */
  put<E>(
    { entry, kept }: Level,
    run: (text: string, params: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<any>, E>
  ): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      const part = ++entry.parts
      const text = `INSERT INTO ${this.table} (id, part) VALUES ($1, $2) RETURNING $3::integer AS n`
      return Effect.map(
        entry.operation.answer((n) => Effect.map(run(text, [entry.id, part, n]), (rows) => rows[0]?.n)),
        () => {
          kept.add(part)
        }
      )
    })
  }

  /** Compares what is there with what must be. */
  check(rows: ReadonlyArray<{ readonly id: number; readonly part: number }>): void {
    const stored = new Map<number, Array<number>>()
    for (const { id, part } of rows) stored.set(id, [...stored.get(id) ?? [], part])
    for (const { entry, kept } of this.entries) {
      const parts = stored.get(entry.id) ?? []
      const isAll = parts.length === kept.size && parts.every((part) => kept.has(part))
      const { name } = entry.operation
      if (entry.state === "stored" && !isAll) this.witness.fault(`${name} was acknowledged but is not in the ledger so`)
      if (entry.state === "stored" && entry.isDoomed) this.witness.fault(`${name} was stored without what was cut off`)
      if (entry.state === "never" && parts.length > 0) this.witness.fault(`${name} is in the ledger, uncommitted`)
      if (entry.state === "perhaps" && parts.length > 0 && !isAll) this.witness.fault(`${name} is there in parts`)
    }
  }

  get acknowledged(): number {
    return this.entries.filter(({ entry }) => entry.state === "stored").length
  }
}
