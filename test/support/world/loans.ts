import { Cause, Effect, Exit } from "effect"
import type { PoolError, PoolExhausted } from "effect-pgpool/PoolError"
import { awaiting } from "../../../src/internal/effects.js"
import type { Books } from "./books.js"
import type { Caller, Conn, Take } from "./people.js"
import { Refused } from "./people.js"
import { limitsOf } from "./plans.js"
import type { Seen } from "./seen.js"
import { passedBySharer, shareOf, starves, wrongShare } from "./sharing.js"

/** What must be true of a loan when it begins, and of how a caller's wait or use ends. */
export class Loans {
  /** When last a caller gave back in the moment in which it was served: others may not have been told yet. */
  hastyAt = -Infinity
  private failedByConnect = 0
  private readonly share: number

  constructor(private readonly books: Books, private readonly seen: Seen) {
    this.share = shareOf(books.options)
  }

  /** The use of a caller that is a fiber: until `how.hold` is over, or until the caller is told to `finish`. */
  hold(caller: Caller, conn: Conn, how: Take): Effect.Effect<void, "body"> {
    const { mayYield, sim } = this.books
    this.begin(caller, conn)
    // `Effect.async` forgets its canceler if the fiber yields, and is interrupted, just when it has registered.
    const use = awaiting<void, never>((resume) => {
      if (how.hold === 0 || caller.isFinished) {
        resume(Effect.void)
        return
      }
      const cancel = how.hold === undefined ? () => {} : sim.schedule(how.hold, () => resume(Effect.void))
      caller.finish = () => {
        cancel()
        resume(Effect.void)
      }
      return cancel
    })
    return mayYield.pipe(
      Effect.zipRight(use),
      Effect.zipRight(how.fails === true ? Effect.fail("body" as const) : Effect.void),
      Effect.onExit(() => Effect.sync(() => this.end(caller, conn)))
    )
  }

  begin(caller: Caller, conn: Conn): void {
    const { books } = this
    const { maxUses = Infinity, reset } = books.options
    const isJoining = conn.holders.size > 0
    const what = isJoining ? wrongShare(caller, conn, this.share) : undefined
    if (what !== undefined) books.wrong("I4", `#${conn.id} is lent to ${caller.number} while others have it: ${what}`)
    if (++conn.leases > maxUses) books.wrong("maxUses", `#${conn.id} is lent ${conn.leases} times`)
    // Callers that were told of the same hand-over before may have given back on the spot.
    const isFirst = !isJoining && !(caller.shares && this.hastyAt === books.now)
    this.isFit(conn, isJoining, isFirst)
    if (caller.shares) {
      const passed = passedBySharer(caller, books.callers)
      if (passed !== undefined) books.wrong("I3", `${caller.number} is served before ${passed.number}`)
    }
    if (isFirst) this.passesNobody(caller)
    if (isJoining && this.hastyAt < books.now && starves(caller, conn, books.callers, books.conns)) {
      books.wrong("I3", `${caller.number} joins the holders of #${conn.id}, which has to run dry`)
    }
    books.account.began(caller, books.now, books.waited(caller))
    caller.state = "holding"
    caller.conn = conn
    conn.holders.add(caller)
    conn.dirty = reset === "always" || (reset === "odd" && conn.id % 2 === 1)
    this.seen.lent(conn)
  }

  private isFit(conn: Conn, isJoining: boolean, isFirst: boolean): void {
    const { books } = this
    const { canCheck, expires, validateAfterIdle } = books.options
    if (conn.phase !== "open") books.wrong("I4", `#${conn.id} is lent while it is ${conn.phase}`)
    if (conn.work !== undefined) books.wrong("R11", `#${conn.id} is lent while it is checked or reset`)
    if (conn.openedAt + expires <= books.now) books.wrong("I7", `#${conn.id} is lent after it expired`)
    if (conn.invalidatedAt < books.now) books.wrong("I7", `#${conn.id} is lent after it was invalidated`)
    if (conn.evictedAt < books.now) books.wrong("R19", `#${conn.id} is lent after it was evicted`)
    if (isFirst && conn.dirty) books.wrong("I7", `#${conn.id} is lent dirty`)
    if (conn.dead) books.wrong("I7", `#${conn.id} is lent after a check or reset of it failed`)
    // A hand-over that was interrupted before it resumed counts as a use, which nobody outside can see.
    const isStale = canCheck && !isJoining && books.now - conn.provenAt > validateAfterIdle
    if (isStale && books.lastInterruptAt < conn.provenAt) books.wrong("I7", `#${conn.id} is lent without a check`)
  }

  private passesNobody(caller: Caller): void {
    // A caller that was handed a resource, or refused, and has not resumed yet is in the queue no more: only the pool knows.
    const newer = this.books.waiting.filter(({ number }) => number > caller.number)
    const older = this.books.stats.waiting - newer.length
    if (older > this.books.displaced) {
      this.books.wrong("I3", `${caller.number} is served while ${older} wait that came before`)
    }
  }

  end(caller: Caller, conn: Conn): void {
    this.books.account.ended(caller, this.books.now)
    conn.holders.delete(caller)
    conn.provenAt = conn.usedAt = this.books.now
    caller.conn = undefined
  }

  ended(caller: Caller, exit: Exit.Exit<unknown, PoolError | Refused | "body">, wasFull: boolean): void {
    const { books } = this
    const wasHolding = caller.state === "holding"
    caller.state = "done"
    caller.exit = exit
    if (Exit.isSuccess(exit)) return
    const waited = books.waited(caller)
    const who = `${caller.number}, which has waited ${waited} ms,`
    if (Cause.isInterruptedOnly(exit.cause)) {
      if (!wasHolding && caller.fiber !== undefined) books.account.left(waited)
      if (!caller.interrupted) books.wrong("R12", `${who} ends as if interrupted`)
      return
    }
    const failure = caller.failure
    if (failure === "body") return
    if (wasHolding) return books.wrong("R12", `${who} fails in its use: ${Cause.pretty(exit.cause)}`)
    if (failure === undefined) return this.failedHard(exit.cause)
    switch (failure._tag) {
      case "PoolClosed":
        if (books.closingAt === undefined && books.stats.state !== "draining") {
          books.wrong("R13", `${who} fails with PoolClosed`)
        }
        break
      case "PoolQueueFull":
        if (!wasFull || waited > 0) books.wrong("R4", `${who} fails with PoolQueueFull`)
        break
      case "PoolExhausted":
        return this.exhausted(failure, waited, who)
      case "Refused":
        if (failure.kind === "transient") books.wrong("R18", `${who} fails with a transient failure`)
        else if (failure.kind === "other") this.failedHard(exit.cause)
        else if (books.conns.some(({ holders, openedAt }) => holders.size > 0 && openedAt < books.now)) {
          books.wrong("R18", `${who} fails although there are good connections`)
        }
    }
  }

  private exhausted({ cause, limit, limitMillis, stats, wasOwed }: PoolExhausted, waited: number, who: string): void {
    const { books } = this
    const { acquireTimeout, connectTimeout, maxwait, outageTimeout, retries, whenFull } = books.options
    if (limit === "connectRetry") {
      if (retries === Infinity || cause === undefined) books.wrong("R18", `${who} is given up`)
      return
    }
    const { full, outage, owed } = limitsOf(books.options)
    const mayHave = wasOwed ? owed : full
    if (waited < mayHave) books.wrong("R4", `${who} fails with PoolExhausted, but may wait ${mayHave} ms`)
    // When `connectRetry` has come to its end the outage is taken for over.
    const isOutage = cause instanceof Refused && cause.kind === "transient" && retries === Infinity
    if (isOutage && waited < outage) books.wrong("R18", `${who} does not outlast the outage`)
    if (stats.waiting === 1 && wasOwed !== stats.busy < stats.maxoverflow) {
      books.wrong("R4", `${who} hears that it was ${wasOwed ? "" : "not "}owed a connection`)
    }
    // Nothing ends each connection that is opened here.
    if (limit === "handOver") return books.wrong("I7", `${who} was given dead connections only`)
    const millis = { acquireTimeout, outageTimeout, maxwait, connectTimeout: maxwait + connectTimeout }[limit]
    const mayBe = whenFull === "fail" || limit === "acquireTimeout" || limit === "outageTimeout"
    if (!mayBe || millis !== limitMillis || waited < millis) {
      books.wrong("R4", `${who} hears of ${limit} (${limitMillis} ms)`)
    }
  }

  private failedHard(cause: Cause.Cause<unknown>): void {
    const { books } = this
    this.failedByConnect++
    if (this.failedByConnect > books.hardFailures) {
      books.wrong("R6", `more callers than connects fail, the last with ${Cause.pretty(cause)}`)
    }
  }
}
