import { Exit, FiberId } from "effect"
import type { Loan } from "../../../src/internal/pool/loan.js"
import type { Books } from "./books.js"
import type { Loans } from "./loans.js"
import type { Conn, Take } from "./people.js"
import { Caller } from "./people.js"

/** So long it takes until a statement that was given up is answered, and until its cancel can hit nothing any more. */
const answeredAfter = [7, 31]
const settledAfter = [31, 7]

/** Borrowers that are no fibers, as plain statements: they are told on the spot, and give back with the answer. */
export class Requests {
  /** Those that will come, and what keeps them from it. */
  private readonly answers = new Map<Caller, () => void>()

  constructor(private readonly books: Books, private readonly loans: Loans) {}

  ask(how: Take): Caller {
    const { callers, sim, state } = this.books
    const caller = new Caller(callers.length, sim.now, how.by === "sharing")
    const wasFull = state.stats().waiting >= state.settings.maxWaiting
    callers.push(caller)
    caller.waiter = state.request(caller.shares, (exit) => {
      if (Exit.isSuccess(exit)) this.lent(caller, exit.value, how)
      else this.loans.ended(caller, exit, wasFull)
    })
    caller.hadToWait = caller.isQueued
    if (!caller.hadToWait && caller.waiter !== undefined) this.books.account.wasHasty()
    return caller
  }

  private lent(caller: Caller, loan: Loan<Conn>, how: Take): void {
    if (!loan.begin()) throw new Error(`${caller.number} is handed a resource that is not well`)
    this.loans.begin(caller, loan.value)
    caller.loan = loan
    const { again = 0, hold } = how
    if (again > 0 || hold === 0 || caller.isFinished) {
      this.loans.hastyAt = this.books.sim.now
      this.giveBack(caller, Exit.void)
      if (again > 0) this.ask({ ...how, again: again - 1 })
      return
    }
    const answered = () => this.giveBack(caller, Exit.void)
    if (hold !== undefined) this.answers.set(caller, this.books.sim.schedule(hold, answered))
    caller.finish = answered
  }

  /** A second time does nothing. */
  private giveBack(caller: Caller, exit: Exit.Exit<void>): void {
    const { loan } = caller
    if (loan === undefined) return
    caller.loan = undefined
    this.answers.get(caller)?.()
    this.answers.delete(caller)
    this.loans.end(caller, loan.value)
    if (caller.state !== "done") this.loans.ended(caller, exit, false)
    loan.end()
  }

  interrupt(caller: Caller): void {
    const { sim, state } = this.books
    const { loan, waiter } = caller
    const interrupted = Exit.interrupt(FiberId.none)
    if (loan === undefined) {
      this.loans.ended(caller, interrupted, false)
      state.leave(waiter!)
    } else if (caller.shares) {
      // Others have their statements behind it: the place is free with its answer, and more of them with its cancel.
      const conn = loan.value
      const order = caller.number % 2
      conn.cancels++
      this.loans.ended(caller, interrupted, false)
      this.answers.get(caller)?.()
      this.answers.set(caller, sim.schedule(answeredAfter[order], () => this.giveBack(caller, Exit.void)))
      sim.schedule(settledAfter[order], () => {
        conn.cancels--
        if (conn.cancels === 0) state.sharing.reopened(conn)
      })
    } else this.giveBack(caller, interrupted)
  }
}
