/** @internal */
import type { PoolError } from "../../PoolError.js"
import type { CloseReason, PoolStats } from "../../PoolStats.js"
import type { Connections } from "./connections.js"
import type { ConnectWatch } from "./connectWatch.js"
import type { Demand } from "./demand.js"
import type { Evictor } from "./evictor.js"
import type { Fitness } from "./fitness.js"
import type { WaitPolicy } from "./forecast.js"
import type { Holders } from "./holders.js"
import type { Leaks } from "./leaks.js"
import type { Lifecycle } from "./lifecycle.js"
import type { News } from "./news.js"
import type { Operator } from "./operator.js"
import type { Outage } from "./outage.js"
import type { Permits } from "./permits.js"
import type { Proof } from "./proof.js"
import type { Refusals } from "./refusals.js"
import type { Rounds } from "./rounds.js"
import type { Environment, Resource, Settings } from "./settings.js"
import type { Slot, State } from "./slot.js"
import type { Supply } from "./supply.js"
import type { Sweeper } from "./sweeper.js"
import type { Tally } from "./tally.js"
import type { Timekeeper } from "./timekeeper.js"
import type { Waiters } from "./waiters.js"

/**
 * The pool as its parts see it: the books, the other parts, and the steps that the pool takes for them. They call it
 * within a critical section only. `Demand` and the books ask nothing of the pool, and so get no port.
 *
 * @internal
 */
export interface Port<A, E> {
  readonly settings: Settings
  readonly env: Environment
  readonly resource: Resource<A, E>

  readonly connections: Connections<A>
  readonly waiters: Waiters<A, E | PoolError>
  readonly tally: Tally
  readonly permits: Permits
  readonly demand: Demand<A, E | PoolError>
  readonly waitPolicy: WaitPolicy
  readonly fitness: Fitness<A>
  readonly refusals: Refusals<A, E>

  readonly supply: Supply<A, E>
  readonly outage: Outage<E>
  readonly timekeeper: Timekeeper<A, E>
  readonly evictor: Evictor<A>
  readonly sweeper: Sweeper<A>
  readonly connectWatch: ConnectWatch<A>
  readonly leaks: Leaks<A>
  readonly holders: Holders<A>
  readonly news: News<A>
  readonly proof: Proof<A>
  readonly rounds: Rounds
  readonly operator: Operator<A, E>
  readonly lifecycle: Lifecycle

  /** Supply or demand has changed: gives the waiters what there is. */
  serve(now?: number): void
  /** Has an idle connection checked. Returns whether there is one. */
  checkLast(now: number): boolean
  /** The connection has proved to be well. It goes to the next waiter, or becomes idle, or is retired. */
  ready(slot: Slot<A>): void
  /** The connection is lost: the cause may have ended others as well (R19). */
  lost(value: A): void
  retire(slot: Slot<A>, reason: CloseReason): void
  /** Ends the connection's fiber, whatever it does. */
  interrupt(slot: Slot<A>): void
  /** Moves the connection to its next state, in all books. */
  enter(slot: Slot<A>, next: State, why?: CloseReason): void
  stats(): PoolStats
}
