import { Effect, Exit } from "effect"
import type { CloseReason } from "effect-pgpool/PoolStats"
import type { Books } from "./books.js"
import type { Eviction } from "./people.js"
import { Conn, Refused } from "./people.js"
import type { ConnectPlan, WorkPlan } from "./plans.js"
import { fine, well } from "./plans.js"
import type { Seen } from "./seen.js"

/** Opens, checks, resets and closes fake resources as planned, and says what the pool asked for that it must not. */
export class Resources {
  private checksRun = 0
  private resetsRun = 0
  /** How many were evicted for newer ones that were open. */
  private replaced = 0

  constructor(private readonly books: Books, private readonly seen: Seen) {}

  readonly acquire = Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const { books } = this
      const plan = (books.isHealed ? undefined : books.options.connects[books.conns.length]) ?? well
      const conn = new Conn(books.conns.length, books.now, plan, books.youngFor)
      const isClosing = books.hasBegun && books.last.state === "closing"
      conn.askedAt = books.now + (isClosing ? 0 : books.options.connectTimeout)
      if (Math.min(books.closingAt ?? Infinity, books.cutAt) < books.now) {
        books.wrong("R13", `#${conn.id} is dialled after the close`)
      }
      for (const eviction of books.evictions) conn.evict(eviction)
      books.conns.push(conn)
      const mask = plan.uninterruptible ? <A, E, R>(effect: Effect.Effect<A, E, R>) => effect : restore
      return mask(Effect.zipRight(pause(plan), outcome(conn))).pipe(
        Effect.onExit((exit) => Effect.sync(() => this.connected(conn, exit))),
        Effect.zipRight(Effect.addFinalizer(() => this.finalise(conn))),
        Effect.as(conn)
      )
    })
  )

  private connected(conn: Conn, exit: Exit.Exit<void, Refused>): void {
    const { books } = this
    // Maybe in this moment.
    if (conn.plan.uninterruptible && books.isHopeless(conn)) books.noticeGivenUp()
    const inTime = books.now < conn.askedAt
    if (!inTime) books.badAt = books.otherBadAt = Math.max(books.badAt, conn.askedAt)
    if (Exit.isSuccess(exit)) {
      conn.phase = "open"
      conn.openedAt = conn.usedAt = books.now
      conn.isWell(books.now)
      if (inTime) books.succeeded(conn)
      return
    }
    conn.phase = "closed"
    if (!inTime) return
    if (Exit.isInterrupted(exit) && conn.plan.end !== "selfInterrupt") books.givenUp(conn)
    else books.failed(conn)
  }

  private finalise(conn: Conn): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { books } = this
      conn.phase = "closing"
      conn.askedAt = Math.min(conn.askedAt, books.now)
      const reason = [...books.state["connections"].all].find(({ value }) => value === conn)?.closeReason
      this.seen.closed(conn, reason)
      this.isReplaced(conn, reason)
      this.hasReason(conn, reason)
      if (++conn.closes > 1) books.wrong("I4", `#${conn.id} is closed twice`)
      const forcedAt = Math.min((books.closingAt ?? Infinity) + books.options.closeTimeout, books.cutAt)
      if (conn.holders.size > 0 && books.now < forcedAt) {
        books.wrong("I4", `#${conn.id} is closed while ${conn.holder?.number} has it`)
      }
      return conn.plan.closeDelay > 0 ? Effect.sleep(conn.plan.closeDelay) : Effect.void
    }).pipe(
      Effect.zipRight(Effect.sync(() => conn.phase = "closed")),
      Effect.zipRight(conn.plan.closeDies ? Effect.die(new Error(`the close of #${conn.id} died`)) : Effect.void)
    )
  }

  /** R19: what is evicted softly goes when a newer one has opened, or where no permit is free. */
  private isReplaced(conn: Conn, reason: CloseReason | undefined): void {
    const { books } = this
    if (reason !== "evicted" || conn.evictedAt <= books.now) return
    const means = ({ before, isSoft }: Eviction) => isSoft && conn.id < before
    const evictions = books.evictions.filter(means)
    books.expect(evictions.length > 0, "R19", () => `#${conn.id} is evicted, though nobody asked for that`)
    // One that is shared may have been told before.
    const toldAt = books.options.share === 1 ? books.now : Math.min(...evictions.map(({ from }) => from))
    if (books.fullAt >= toldAt) return
    const newer = (least: number) => books.count(({ id, openedAt }) => id >= least && openedAt <= books.now)
    const isFollowed = evictions.some(({ before }) => newer(before) > 0)
    books.expect(isFollowed, "R19", () => `#${conn.id} is evicted before a newer one is open`)
    const first = Math.min(...books.evictions.filter(({ isSoft }) => isSoft).map(({ before }) => before))
    const opened = newer(first)
    books.expect(++this.replaced <= opened, "R19", () => `${this.replaced} are evicted for ${opened} that have opened`)
  }

  /** R7, R9, R10: the pool tells why it closes a resource, and that is so. */
  private hasReason(conn: Conn, reason: CloseReason | undefined): void {
    const { books } = this
    const { canCheck, expires, expiresJitter, idleTimeout = Infinity, maxUses = Infinity, minsize, reset } =
      books.options
    const age = books.now - conn.openedAt
    // A hand-over that was interrupted is a use that only the pool has seen.
    const isUsed = conn.leases >= maxUses || (maxUses < Infinity && books.lastInterruptAt >= conn.openedAt)
    const holds = reason === "expired"
      ? age >= expires * (1 - expiresJitter)
      : reason === "renewed"
      ? minsize > 0 && age >= expires * (1 - expiresJitter) * 0.975
      : reason === "idle"
      ? books.now - conn.usedAt >= idleTimeout
      : reason === "used"
      ? isUsed
      : reason === "invalidated"
      ? conn.mayBeInvalid
      : reason === "dirty"
      ? canCheck || reset !== "none"
      : reason === "closed"
      ? books.closingAt !== undefined || books.stats.state === "draining" || books.cutAt < Infinity
      : true
    books.expect(holds, "R7", () => `#${conn.id} is closed as ${reason}`)
  }

  readonly check = (conn: Conn) => this.work(conn, "check", this.books.options.checks[this.checksRun++], () => {})
  readonly reset = (conn: Conn) =>
    this.work(conn, "reset", this.books.options.resets[this.resetsRun++], () => conn.dirty = false)

  private work(
    conn: Conn,
    kind: "check" | "reset",
    planned: WorkPlan | undefined,
    succeed: () => void
  ): Effect.Effect<void, string> {
    const { books } = this
    const plan = (books.isHealed ? undefined : planned) ?? fine
    const effect = Effect.suspend(() => {
      if (conn.phase !== "open") books.wrong("R11", `#${conn.id} is checked or reset while it is ${conn.phase}`)
      if (conn.holders.size > 0) books.wrong("R11", `#${conn.id} is checked or reset while somebody has it`)
      const since = books.now
      conn.work = { since }
      return pause(plan).pipe(
        Effect.zipRight(plan.end === "error" ? Effect.fail(`#${conn.id} is not well`) : Effect.void),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            conn.work = undefined
            const deadline = since + books.options.cleanupTimeout
            if (books.now >= deadline) books.suspectAt(deadline)
            else if (kind === "check" && Exit.isFailure(exit)) books.suspectAt(books.now)
            if (Exit.isFailure(exit) || books.now >= deadline) conn.dead = true
            else {
              conn.isWell(books.now)
              succeed()
            }
          })
        )
      )
    })
    return plan.uninterruptible ? Effect.uninterruptible(effect) : effect
  }
}

const outcome = ({ id, plan }: Conn): Effect.Effect<void, Refused> => {
  switch (plan.end) {
    case "error":
      return new Refused({ id, kind: "other" })
    case "transient":
      return new Refused({ id, kind: "transient" })
    case "permanent":
      return new Refused({ id, kind: "permanent" })
    case "die":
      return Effect.die(new Error(`#${id} died`))
    case "selfInterrupt":
      return Effect.interrupt
    default:
      return Effect.void
  }
}

/** What takes for ever but can't be interrupted takes long instead, so that it can be seen what comes after it. */
const pause = (plan: ConnectPlan | WorkPlan): Effect.Effect<void> =>
  plan.end === "never"
    ? plan.uninterruptible ? Effect.sleep(20_003) : Effect.never
    : plan.delay > 0
    ? Effect.sleep(plan.delay)
    : Effect.void
