/** What a play tells while it runs. */
import { Context } from "effect"
import type { Effect } from "effect"

/** One comparison of what was promised with what the pool says and what the server says. */
export interface Check {
  readonly subject: string
  readonly promised: string
  readonly pool: string
  readonly server: string
  readonly holds: boolean
}

export class Report extends Context.Tag("demo/Report")<Report, {
  readonly step: (title: string) => Effect.Effect<void>
  readonly check: (check: Check) => Effect.Effect<void>
  /** Somebody more (1) or less (-1) wants or holds a connection. */
  readonly demand: (change: 1 | -1) => Effect.Effect<void>
}>() {}
