import { Cause, Data, Exit, Option } from "effect"
import type { Fiber } from "effect"
import type { PoolError } from "effect-pgpool/PoolError"
import type { Loan } from "../../../src/internal/pool/loan.js"
import type { ElasticPoolState } from "../../../src/internal/pool/pool.js"
import type { ConnectPlan } from "./plans.js"

export class Refused extends Data.TaggedError("Refused")<{
  readonly id: number
  readonly kind: "transient" | "permanent" | "other"
}> {}

/** A rule of the design that did not hold. */
export class Violation extends Error {}

/** The fake resource, and all that is known of it from outside the pool. */
export class Conn {
  phase: "connecting" | "open" | "closing" | "closed" = "connecting"
  openedAt = NaN
  /** When its end was asked for. */
  askedAt = Infinity
  provenAt = NaN
  /** When its last use ended; when it has opened, as long as nobody has used it. */
  usedAt = NaN
  /** When it has opened, or was last found well by a check or a reset. */
  checkedAt = NaN
  /** More than one only where they share it. */
  readonly holders = new Set<Caller>()
  /** How often it was lent, as far as that can be seen. */
  leases = 0
  /** Cancels under way: as long nobody else may join its holders. */
  cancels = 0
  /** Another was lost while it was in use, and it has not been checked since. */
  suspect = false
  work: { readonly since: number } | undefined = undefined
  invalidatedAt = Infinity
  /** It was said to be broken, maybe before the pool knew it. */
  mayBeInvalid = false
  /** It was there when the pool was told to evict: then it has to be gone, or is to be replaced. */
  evictedAt = Infinity
  replacedFrom = Infinity
  /** It was opening then, and is of no use to anybody. */
  isOutdated = false
  /** A borrower used it, and it has not been reset since. */
  dirty = false
  /** A check or a reset has failed. */
  dead = false
  closes = 0
  constructor(
    readonly id: number,
    readonly startedAt: number,
    readonly plan: ConnectPlan,
    /** R6: so long it is a cover for a waiter. */
    readonly youngFor: number
  ) {}

  /** The first of them. */
  get holder(): Caller | undefined {
    return this.holders.values().next().value
  }

  get isShared(): boolean {
    return this.holder?.shares === true
  }

  isWell(now: number): void {
    this.provenAt = this.checkedAt = now
    this.suspect = false
  }

  evict({ at, before, isSoft }: Eviction): void {
    if (this.id >= before) return
    if (isSoft) {
      this.replacedFrom = Math.min(this.replacedFrom, at)
      return
    }
    this.evictedAt = Math.min(this.evictedAt, at)
    if (this.phase === "connecting") this.isOutdated = true
  }
}

/** The pool was told to evict the connections with a number below `before`: at once, or each from a moment until `at` on. */
export interface Eviction {
  readonly before: number
  readonly from: number
  readonly at: number
  readonly isSoft: boolean
}

export type State = ElasticPoolState<Conn, Refused>

export class Caller {
  state: "waiting" | "holding" | "lingering" | "done" = "waiting"
  interrupted = false
  conn: Conn | undefined = undefined
  exit: Exit.Exit<unknown, PoolError | Refused | "body"> | undefined = undefined
  fiber: Fiber.RuntimeFiber<unknown, PoolError | Refused | "body"> | undefined = undefined
  /** Ends its use of the resource. */
  finish: () => void = () => {
    this.isFinished = true
  }
  isFinished = false
  /** Whether it was not served in the step in which it asked. */
  hadToWait = false
  heldSince = NaN
  /** Of one that is no fiber: what it was told to leave with, and what it was handed. */
  waiter: ReturnType<State["request"]> | undefined = undefined
  loan: Loan<Conn> | undefined = undefined

  constructor(readonly number: number, readonly since: number, readonly shares = false) {}

  /** Whether the pool has it in its queue. Only known of one that is no fiber. */
  get isQueued(): boolean {
    return this.waiter?.queued === true
  }

  get failure(): PoolError | Refused | "body" | undefined {
    const { exit } = this
    if (exit === undefined || Exit.isSuccess(exit)) return undefined
    return Option.getOrUndefined(Cause.failureOption(exit.cause))
  }
}

/** A borrower is a fiber, or it is none, as a plain statement: one that shares, or that wants a connection for itself. */
export interface Take {
  readonly by: "use" | "get" | "sharing" | "alone"
  /** How long it is held; `undefined`: until `finish`. */
  readonly hold?: number | undefined
  readonly fails?: boolean | undefined
  /** With `get`: how long its scope takes to close after the resource was given back. */
  readonly linger?: number | undefined
  /** So many times it gives back on the spot what it is handed, and asks again, as if it had met dead sessions. */
  readonly again?: number | undefined
}
