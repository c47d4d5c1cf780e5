import { Exit, FiberId } from "effect"
import type { PoolError } from "effect-pgpool/PoolError"
import type { Loan } from "../../../src/internal/pool/loan.js"
import type { Simulation } from "../simulation.js"
import type { Conn, Refused, State, Take } from "./people.js"
import { Caller } from "./people.js"

/** What requests need of their world. */
interface World {
  readonly sim: Simulation
  readonly state: State
  readonly callers: Array<Caller>
  readonly begin: (caller: Caller, conn: Conn) => void
  readonly end: (caller: Caller, conn: Conn) => void
  readonly ended: (caller: Caller, exit: Exit.Exit<unknown, PoolError | Refused>, wasFull: boolean) => void
}

/** So long it takes until a statement that was given up is answered, and until its cancel can hit nothing any more. */
const answeredAfter = [7, 31]
const settledAfter = [31, 7]

/** Borrowers that are no fibers, as plain statements: they are told on the spot, and give back with the answer. */
export class Requests {
  /** When last somebody gave back in the moment in which he was served: others may not have been told yet. */
  hastyAt = -Infinity
  /** Those that will come, and what keeps them from it. */
  private readonly answers = new Map<Caller, () => void>()

  constructor(private readonly world: World) {}

  ask(how: Take): Caller {
    const { callers, sim, state } = this.world
    const caller = new Caller(callers.length, sim.now, how.by === "sharing")
    const wasFull = state.stats().waiting >= state.settings.maxWaiting
    callers.push(caller)
    caller.waiter = state.request(caller.shares, (exit) => {
      if (Exit.isSuccess(exit)) this.lent(caller, exit.value, how)
      else this.world.ended(caller, exit, wasFull)
    })
    return caller
  }

  private lent(caller: Caller, loan: Loan<Conn>, how: Take): void {
    this.world.begin(caller, loan.value)
    caller.loan = loan
    const { again = 0, hold } = how
    if (again > 0 || hold === 0 || caller.isFinished) {
      this.hastyAt = this.world.sim.now
      this.giveBack(caller, Exit.void)
      if (again > 0) this.ask({ ...how, again: again - 1 })
      return
    }
    const answered = () => this.giveBack(caller, Exit.void)
    if (hold !== undefined) this.answers.set(caller, this.world.sim.schedule(hold, answered))
    caller.finish = answered
  }

  /** A second time does nothing. */
  private giveBack(caller: Caller, exit: Exit.Exit<void>): void {
    const { loan } = caller
    if (loan === undefined) return
    caller.loan = undefined
    this.answers.get(caller)?.()
    this.answers.delete(caller)
    this.world.end(caller, loan.value)
    if (caller.state !== "done") this.world.ended(caller, exit, false)
    loan.end()
  }

  interrupt(caller: Caller): void {
    const { sim, state } = this.world
    const { loan, waiter } = caller
    const interrupted = Exit.interrupt(FiberId.none)
    if (loan === undefined) {
      this.world.ended(caller, interrupted, false)
      state.leave(waiter!)
    } else if (caller.shares) {
      // Others have their statements behind it: the place is free with its answer, and more of them with its cancel.
      const conn = loan.value
      const order = caller.number % 2
      conn.cancels++
      this.world.ended(caller, interrupted, false)
      this.answers.get(caller)?.()
      this.answers.set(caller, sim.schedule(answeredAfter[order], () => this.giveBack(caller, Exit.void)))
      sim.schedule(settledAfter[order], () => {
        conn.cancels--
        if (conn.cancels === 0) state.shareable(conn)
      })
    } else this.giveBack(caller, interrupted)
  }
}
