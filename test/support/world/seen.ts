import type { CloseReason } from "effect-pgpool/PoolStats"
import type { Books } from "./books.js"
import type { Conn } from "./people.js"

/** What its owner, or a socket, did while several callers used a resource together. */
type Deed = "evict" | "evictNow" | "resize" | "suspend" | "drain" | "close" | "lose" | "invalidate"

/** What a schedule may bring about. A test asks for it, so that no rule holds only because nothing happened. */
export type Sight =
  | "a place is taken beside others"
  | "a place is taken beside others during an outage"
  | "an outage begins while shared"
  | "overflow opens by maxwait"
  | "overflow opens by forecast"
  | "overflow opens by forecast while shared"
  | "warm opens before anybody asks"
  | `${Deed} while shared`
  | `closed as ${CloseReason}`
  | `closed as ${CloseReason} after sharing`

/** What happened in one world. */
export class Seen {
  readonly all = new Set<Sight>()
  private readonly shared = new WeakSet<Conn>()
  private wasOutage = false

  constructor(private readonly books: Books) {}

  /** The pool is made, and nobody has asked for anything. */
  begun(): void {
    if (this.books.stats.opening > 0) this.all.add("warm opens before anybody asks")
  }

  lent(conn: Conn): void {
    if (conn.holders.size < 2) return
    this.shared.add(conn)
    this.all.add("a place is taken beside others")
    if (this.books.isOutage) this.all.add("a place is taken beside others during an outage")
  }

  did(deed: Deed): void {
    if (this.isShared) this.all.add(`${deed} while shared`)
  }

  closed(conn: Conn, reason: CloseReason | undefined): void {
    if (reason === undefined) return
    this.all.add(`closed as ${reason}`)
    if (this.shared.has(conn)) this.all.add(`closed as ${reason} after sharing`)
  }

  /** After each task: how many were opening before, and are now. */
  opening(before: number, now: number): void {
    const { isOutage, options, stats } = this.books
    if (isOutage && !this.wasOutage && this.isShared) this.all.add("an outage begins while shared")
    this.wasOutage = isOutage
    if (now <= before || stats.size <= stats.maxsize) return
    this.all.add(options.isAuto ? "overflow opens by forecast" : "overflow opens by maxwait")
    if (options.isAuto && this.isShared) this.all.add("overflow opens by forecast while shared")
  }

  private get isShared(): boolean {
    return this.books.conns.some(({ holders }) => holders.size > 1)
  }
}
