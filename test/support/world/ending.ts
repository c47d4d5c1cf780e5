import type { PoolWorld } from "../poolWorld.js"
import type { Books } from "./books.js"
import type { Caller } from "./people.js"
import { shareOf } from "./sharing.js"

/** How a world comes to its end, and what must be left of it then. */
export class Ending {
  constructor(private readonly world: PoolWorld, private readonly books: Books) {}

  /** All users finish, and what is ill is well again. */
  finishAll(): void {
    this.books.isHealed = true
    for (const caller of this.books.callers) caller.finish()
    // Beyond all timeouts, a hundred times over, and the life of every connection that is slow to close.
    for (let i = 0; i < 130; i++) {
      for (const caller of this.books.callers) caller.finish()
      this.world.advance(500)
    }
    this.books.expect(this.books.callers.every(({ state }) => state === "done"), "I8", () => "somebody is left")
    this.books.throwWrongs()
  }

  /** I8: the pool can serve `maxoverflow` at once; a drained one has come to its end. */
  servesMaxoverflow(): void {
    const { maxoverflow, size, state } = this.books.stats
    if (state === "draining") {
      this.books.expect(
        size === 0 && this.world.drainFiber?.unsafePoll() !== null,
        "drain",
        () => "the drain does not end"
      )
      return
    }
    // Nobody waits for so long that he is due above maxsize.
    if (this.books.options.acquireTimeout < this.books.options.maxwait) return
    const callers: Array<Caller> = []
    for (let i = 0; i < maxoverflow; i++) {
      callers.push(this.world.take({ by: i % 2 === 0 ? "use" : "get" }))
      this.world.advance(this.books.options.maxwait)
    }
    const serves = callers.filter(({ state }) => state === "holding").length
    this.books.expect(serves === maxoverflow, "I8", () => `it serves ${serves} at once`)
    for (const caller of callers) caller.finish()
    this.world.settle()
    this.servesSharers()
  }

  /** Every place is back, where none of them can have come to its end meanwhile. */
  private servesSharers(): void {
    const { expires, maxUses, maxwait } = this.books.options
    if (maxUses !== undefined || expires < 60_000 || shareOf(this.books.options) === 1) return
    // What is left of a longer life may be too short.
    this.world.evict({ now: true })
    this.world.settle()
    const callers: Array<Caller> = []
    while (callers.length < shareOf(this.books.options) * this.books.stats.maxoverflow) {
      callers.push(this.world.take({ by: "sharing" }))
      this.world.advance(maxwait)
    }
    const serves = callers.filter(({ state }) => state === "holding").length
    this.books.expect(serves === callers.length, "I8", () => `${serves} of ${callers.length} share what there is`)
    for (const caller of callers) caller.finish()
    this.world.settle()
  }

  /** R9: a quiet pool settles on its `minsize` latest connections; with none, nothing is left at all. */
  comesToRest(): void {
    const { expires, minsize } = this.books.options
    // It opens nothing by itself.
    const kept = Math.min(minsize, this.books.stats.idle)
    this.world.advance(expires + 50_000)
    this.books.expect(this.books.stats.size === kept, "R9", () => `a quiet pool has not settled on ${kept}`)
    if (minsize === 0) {
      this.books.expect(
        this.books.sim.timersSet === 0,
        "R9",
        () => `a pool at rest has ${this.books.sim.timersSet} timers`
      )
      this.books.expect(
        this.books.sim.alive.size === 0,
        "R9",
        () => `a pool at rest has ${this.books.sim.alive.size} fibers`
      )
    }
    this.books.throwWrongs()
  }

  /** R13, I5: closes, and nothing is left of the pool; nor of its users' resources, in the end. */
  closes(): void {
    if (this.world.closeFiber === undefined) this.world.close()
    this.world.settle()
    const late = this.world.take()
    this.books.expect(
      late.failure !== undefined && late.failure !== "body" && late.failure._tag === "PoolClosed",
      "R13",
      () => "a newcomer does not fail at once"
    )
    const { cleanupTimeout, closeTimeout } = this.books.options
    this.world.advance(Math.max(0, this.books.closingAt! + closeTimeout + cleanupTimeout - this.books.now))
    this.books.expect(this.world.closeFiber!.unsafePoll() !== null, "R13", () => "the close takes too long")
    for (const caller of this.books.callers) caller.finish()
    this.world.settle()
    // What could not be interrupted ends by itself.
    this.world.advance(60_000)
    for (const conn of this.books.conns) {
      this.books.expect(conn.phase === "closed", "I5", () => `#${conn.id} is ${conn.phase} after the close`)
      const isOnce = conn.closes === (Number.isNaN(conn.openedAt) ? 0 : 1)
      this.books.expect(isOnce, "I4", () => `#${conn.id} was closed ${conn.closes} times`)
    }
    this.nothingIsLeft()
    this.books.throwWrongs()
  }

  /** But for what users still have, and what could not be interrupted. */
  nothingIsLeft(): void {
    this.books.expect(this.books.stats.size === 0, "I5", () => "permits are in use after the close")
    this.books.expect(this.books.mirror.hasEnded, "R41", () => "the meter was not told of the close")
    const isLeft = this.books.conns.some(({ cancels, holders, phase, work }) =>
      phase !== "closed" || work !== undefined || cancels > 0 || holders.size > 0
    )
    if (isLeft || this.books.callers.some(({ state }) => state !== "done")) return
    this.books.expect(
      this.books.sim.alive.size === 0,
      "I5",
      () => `${this.books.sim.alive.size} fibers are left after the close`
    )
    this.books.expect(
      this.books.sim.timersSet === 0,
      "I5",
      () => `${this.books.sim.timersSet} timers are left after the close`
    )
  }
}
