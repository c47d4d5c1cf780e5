import type { Books } from "./books.js"
import type { Caller, Conn } from "./people.js"
import { limitsOf, quietTime, retryDelay } from "./plans.js"
import { hasRoom, neededBy, shareOf } from "./sharing.js"

/** What holds when all is quiet until time passes or somebody does something. */
export class Quiet {
  private readonly share: number

  constructor(private readonly books: Books) {
    this.share = shareOf(books.options)
  }

  look(): void {
    const { books } = this
    books.noticeGivenUp()
    this.statsAreTrue()
    const wrong = books.account.differsFrom(books.stats)
    books.expect(wrong === undefined, "R40", () => wrong!)
    const late = books.callers.find(({ interrupted, state }) =>
      interrupted && state !== "done" && state !== "lingering"
    )
    books.expect(late === undefined, "R12", () => `${late?.number} was interrupted and goes on`)
    const { length } = books.conns
    books.expect(books.dialled === length, "I4", () => `${books.dialled} are open or closed, ${length} dialled`)
    if (books.closingAt !== undefined || books.cutAt <= books.now) {
      books.expect(books.stats.waiting === 0, "R13", () => "somebody waits while the pool closes")
      return
    }
    books.expect(books.stats.opened === books.successes, "I4", () => `${books.successes} were opened`)
    for (const conn of books.conns) {
      if (conn.phase === "connecting" && conn.askedAt === books.now) books.badAt = books.otherBadAt = books.now
    }
    this.evictionGoesOn()
    this.warmIsOpened()
    this.usedUpAreGone()
    this.connectsInTime()
    this.takesWhatIsReady()
    this.noPlaceIsLeftFree()
    this.refusesInTime()
  }

  /** I1: the pool's numbers are those of the world. */
  private statsAreTrue(): void {
    const { books } = this
    const real = {
      opening: this.opening,
      busy: books.count((conn) => conn.holders.size > 0 && conn.phase === "open"),
      checking: books.count((conn) => this.isWorking(conn)),
      idle: books.count((conn) => isFree(conn) && !this.isWorking(conn)),
      closing: this.closing,
      waiting: books.waiting.length
    }
    for (const [name, n] of Object.entries(real)) {
      books.expect(books.stats[name as keyof typeof real] === n, "I1", () => `${name} is really ${n}`)
    }
  }

  private get opening(): number {
    return this.books.count((conn) => this.books.isOpening(conn))
  }

  private get closing(): number {
    const { books } = this
    const isEnding = (conn: Conn) => conn.phase === "closing" || (conn.phase === "connecting" && !books.isOpening(conn))
    return books.count((conn) => isEnding(conn) && !books.isLeftBehind(conn))
  }

  private isWorking({ phase, work }: Conn): boolean {
    return phase === "open" && work !== undefined && work.since + this.books.options.cleanupTimeout > this.books.now
  }

  /** R19: what was evicted at once does not idle, and while connects succeed nothing that is to be replaced is at rest. */
  private evictionGoesOn(): void {
    const { books } = this
    const { minsize, retries } = books.options
    const evicted = books.conns.find((conn) => isFree(conn) && conn.evictedAt <= books.now)
    // Its successor may be opening.
    const mayIdle = evicted === undefined || this.isWorking(evicted) || (minsize > 0 && books.stats.opening > 0)
    books.expect(mayIdle, "R19", () => `#${evicted?.id} was evicted and idles`)
    const isUnderWay = this.opening + this.closing > 0
    const mayWait = isUnderWay || books.stats.state !== "open" || books.isOutage || retries < Infinity
    const old = books.conns.find((conn) => isFree(conn) && conn.work === undefined && conn.replacedFrom <= books.now)
    books.expect(mayWait || old === undefined, "R19", () => `#${old?.id} is not replaced`)
  }

  /** As long as nothing went wrong, or went at all, what `warm` asks for is open or under way. */
  private warmIsOpened(): void {
    const { books } = this
    const { connectConcurrency, maxsize, warm } = books.options
    const { closed, size, state } = books.stats
    const isDisturbed = state !== "open" || books.hasResized || books.evictions.length > 0 || books.badAt > -Infinity ||
      books.hardFailures > 0 || Object.values(closed).some((n) => n > 0)
    if (isDisturbed) return
    const isEnough = size >= Math.min(warm, maxsize) || this.cover >= connectConcurrency
    books.expect(isEnough, "warm", () => `${size} are open or opening`)
  }

  /** A resource that was lent `maxUses` times is closed, and not kept. */
  private usedUpAreGone(): void {
    const { books } = this
    const { maxUses = Infinity } = books.options
    const spent = books.conns.find((conn) => isFree(conn) && !this.isWorking(conn) && conn.leases >= maxUses)
    books.expect(spent === undefined, "maxUses", () => `#${spent?.id} was lent ${spent?.leases} times and idles`)
  }

  /** Connects that a caller can rely on (R6). */
  private get cover(): number {
    const { books } = this
    const isYoung = (conn: Conn) =>
      books.now - conn.startedAt < Math.min(conn.youngFor, books.options.connectTimeout) && !conn.isOutdated
    return books.count((conn) => books.isOpening(conn) && isYoung(conn))
  }

  /** R3, I6: nobody who is due waits while a connect may begin. */
  private connectsInTime(): void {
    const { books, cover } = this
    const { connectConcurrency } = books.options
    const { checking, maxoverflow, maxsize, opening, size, state } = books.stats
    books.expect(cover <= connectConcurrency, "R6", () => `${cover} connects are under way`)
    const mayRetry = cover === 0 && books.now - Math.max(books.badAt, books.quietUntil) >= retryDelay
    const mayDial = books.isOutage ? mayRetry : cover < connectConcurrency
    if (size >= maxoverflow || state === "suspended" || !mayDial) return
    const due = neededBy(books.waiting.filter((caller) => books.waited(caller) >= books.maxwait), this.share)
    books.expect(
      due <= cover,
      "I6",
      () => `for ${due} resources somebody has waited for ${books.maxwait} ms, ${cover} connects are under way`
    )
    const stuck = opening - cover
    const isShort = size - stuck < maxsize && neededBy(books.waiting, this.share) > cover + checking
    books.expect(!isShort, "R3", () => `${cover} connects are under way`)
  }

  /** I2: nobody waits while a resource is idle that needs no check. */
  private takesWhatIsReady(): void {
    const { books } = this
    const { canCheck, cleanupTimeout, validateAfterIdle } = books.options
    if (!canCheck) return
    // What can't be interrupted goes on when the pool has long given it up.
    for (const { work } of books.conns) {
      if (work !== undefined && work.since + cleanupTimeout <= books.now) books.suspectAt(work.since + cleanupTimeout)
    }
    const ready = books.conns.find((conn) =>
      isFree(conn) && conn.work === undefined && conn.provenAt > books.suspectedAt &&
      books.now - conn.provenAt <= validateAfterIdle
    )
    books.expect(books.stats.waiting === 0 || ready === undefined, "I2", () => `#${ready?.id} needs no check`)
  }

  /** I2, for callers that share: places are only kept from them for callers that came before them. */
  private noPlaceIsLeftFree(): void {
    const { books } = this
    const { closing, maxoverflow, size, state } = books.stats
    const sharer = books.waiting.find(({ shares }) => shares)
    if (sharer === undefined || state === "suspended") return
    const known = { now: books.now, suspectedAt: books.suspectedAt, usedUnseenAt: books.lastInterruptAt }
    const room = books.conns.filter((conn) => hasRoom(conn, books.options, known))
    const older = books.waiting.filter(({ number, shares }) => !shares && number < sharer.number).length
    const surplus = Math.max(0, size - closing - maxoverflow)
    books.expect(
      room.length <= older + surplus,
      "I2",
      () => `${sharer.number} waits while #${room.map(({ id }) => id).join()} have room, and ${older} came before`
    )
  }

  /** I6, R18: nobody waits for longer than it may, nor for what was refused for good. */
  private refusesInTime(): void {
    const { books } = this
    const { busy, maxoverflow, opening, size, state } = books.stats
    if (state === "suspended") return
    let places = Math.max(0, maxoverflow - busy) * this.share
    for (const caller of books.waiting) {
      const takes = caller.shares ? 1 : this.share
      const isOwed = places >= takes
      if (isOwed) places -= takes
      const limit = this.limitOf(caller, isOwed)
      const waited = books.waited(caller)
      books.expect(waited < limit, "I6", () => `${caller.number} waits for ${waited} ms, the limit is ${limit}`)
    }
    const isRefused = books.permanentAt > Math.max(books.goodAt, books.otherBadAt) &&
      books.now < books.permanentAt + quietTime && size === opening
    if (isRefused) books.expect(books.stats.waiting === 0, "R18", () => "somebody waits for what was refused for good")
  }

  private limitOf({ since }: Caller, isOwed: boolean): number {
    const { badAt, goodAt, isOutage, options, suspensions } = this.books
    const { full, outage, owed } = limitsOf(options)
    const outageUntil = badAt === -Infinity ? -Infinity : isOutage ? Infinity : goodAt
    if (since <= outageUntil || suspensions.length > 0) return outage
    return isOwed ? owed : full
  }
}

const isFree = ({ holders, phase }: Conn): boolean => phase === "open" && holders.size === 0
