/** A table in which each transaction writes its number in two rows, so that afterwards nothing is lost or there twice. */
import { Effect } from "effect"
import type { Admin } from "./admin.js"
import type { Call } from "./call.js"
import type { Statement } from "./contender.js"

export class Ledger {
  private readonly entries = new Map<number, Call["outcome"]>()
  private numbers = 0

  private constructor(private readonly admin: Admin) {}

  static readonly make = (admin: Admin): Effect.Effect<Ledger> =>
    Effect.as(
      admin.query("CREATE TABLE ledger (id integer NOT NULL, part integer NOT NULL); GRANT ALL ON ledger TO PUBLIC"),
      new Ledger(admin)
    )

  /** A number that nobody else has, and what writes it. */
  next(): { readonly id: number; readonly statements: ReadonlyArray<Statement> } {
    const id = ++this.numbers
    const put = (part: number): Statement => ["INSERT INTO ledger (id, part) VALUES ($1, $2)", [id, part]]
    return { id, statements: [put(1), put(2)] }
  }

  ended(id: number, { outcome }: Pick<Call, "outcome">): void {
    this.entries.set(id, outcome)
  }

  get acknowledged(): number {
    return [...this.entries.values()].filter((outcome) => outcome === "ok").length
  }

  /** What is not as the callers were told. */
  readonly faults: Effect.Effect<Array<string>> = Effect.suspend(() =>
    Effect.map(
      this.admin.query("SELECT id, count(*)::int AS rows, count(DISTINCT part)::int AS parts FROM ledger GROUP BY id"),
      (stored) => {
        const rows = new Map(stored.map(({ id, parts, rows }) => [id, rows === 2 && parts === 2 ? "whole" : "broken"]))
        return [...this.entries].flatMap(([id, outcome]) => {
          const found = rows.get(id) ?? "absent"
          if (found === "broken") return [`transaction ${id} (${outcome}) is there in parts or more than once`]
          if (outcome === "ok" && found === "absent") return [`transaction ${id} was acknowledged and is not there`]
          const isDenied = outcome === "retryable" || outcome === "refused"
          return isDenied && found === "whole" ? [`transaction ${id} is said to have had no effect and is there`] : []
        })
      }
    )
  )
}
