import type { Loan, LoanOutcome, PoolEvent } from "effect-pgpool/PoolEvent"
import type { CloseReason, PoolStats, RefusalReason } from "effect-pgpool/PoolStats"
import type { Books } from "./books.js"

type Tag = PoolEvent["_tag"]

/** What a pool tells from its beginning to its end. Told again, it gives the pool's numbers. */
export class Chronicle {
  readonly events: Array<PoolEvent> = []
  readonly loans: Array<Loan> = []
  private readonly atBegin: PoolStats
  private readonly lives = new Map<number, Array<Tag>>()
  /** When nothing is told any more, the pool still refuses and counts callers. */
  private atEnd: { readonly stats: PoolStats; readonly callers: number } | undefined = undefined

  constructor(private readonly books: Books) {
    const { state } = books
    // Those that are opened in advance begin as soon as there is a pool.
    this.atBegin = state.stats()
    for (const { isOpen, number } of state.connections.all) {
      this.lives.set(number, isOpen ? ["Opening", "Opened"] : ["Opening"])
    }
    state.news.events.listen({ hear: (event) => void this.events.push(event), end: () => {} })
    state.news.loans.listen({
      hear: (loan) => void this.loans.push(loan),
      end: () => this.atEnd = { stats: books.stats, callers: books.callers.length }
    })
  }

  /** What does not agree, if anything. */
  get wrong(): string | undefined {
    return this.wrongLife ?? this.wrongOrder ?? this.wrongTime ?? this.wrongCount ?? this.wrongCallers
  }

  /** Each connection begins, opens or fails, and ends, in this order; and nothing is told of it twice. */
  private get wrongLife(): string | undefined {
    const lives = new Map(this.lives)
    for (const event of this.events) {
      if (!("connection" in event) || event._tag === "Leaked" || event._tag === "CameBack") continue
      lives.set(event.connection, [...lives.get(event.connection) ?? [], event._tag])
    }
    for (const event of this.events) {
      if (event._tag !== "Closed") continue
      const hasFailed = lives.get(event.connection)?.includes("ConnectFailed") === true
      if (hasFailed !== (event.reason === "failed")) return `connection ${event.connection} closes as ${event.reason}`
    }
    for (const [connection, tags] of lives) {
      const life = tags.filter((tag) => tag !== "Overflow").join(" ")
      const isOrdered = /^Opening( Opened| ConnectFailed)? Closed$/.test(life)
      if (!isOrdered || tags.lastIndexOf("Overflow") > 1) {
        return `the life of connection ${connection} is ${tags.join(" ")}`
      }
    }
  }

  private get wrongTime(): string | undefined {
    const { length } = this.books.suspensions
    const wrong = this.loans.find(({ asked, at, held, waited }) =>
      waited < 0 || held < 0 || (length === 0 ? asked + waited + held !== at : asked + held > at)
    )
    if (wrong !== undefined) return `a loan is ${JSON.stringify(wrong)}`
  }

  private get wrongOrder(): string | undefined {
    const tags = this.events.map(({ _tag }) => _tag).filter((tag) => tag === "OutageBegan" || tag === "OutageEnded")
    const wrong = tags.findIndex((tag, i) => tag !== (i % 2 === 0 ? "OutageBegan" : "OutageEnded"))
    if (wrong >= 0) return `${tags[wrong]} is told twice`
    if (tags.at(-1) === "OutageBegan") return "the last outage has no end"
    let state: PoolStats["state"] = "open"
    for (const event of this.events) {
      if (event._tag !== "StateChanged") continue
      if (event.from !== state || event.to === state) {
        return `it goes from ${event.from} to ${event.to}, and was ${state}`
      }
      state = event.to
    }
  }

  private get wrongCount(): string | undefined {
    const { atBegin, books } = this
    const stats = this.atEnd?.stats ?? books.stats
    const expect = (what: string, told: number, counted: number) =>
      told === counted ? undefined : `${what} was told ${told} times, and counted ${counted}`
    const refused = this.events.filter((event) => event._tag === "Exhausted" || event._tag === "Refused")
    const reasonOf = (event: typeof refused[number]): RefusalReason =>
      event._tag === "Exhausted" ? event.limit : event.reason
    const wrongs = [
      expect("opened", this.count("Opened"), stats.opened - atBegin.opened),
      expect("acquired", this.left("returned") + this.left("cutOff"), stats.acquired - atBegin.acquired),
      expect("connectFailures", this.count("ConnectFailed"), stats.connectFailures - atBegin.connectFailures),
      ...Object.entries(stats.closed).map(([reason, n]) =>
        expect(`closed as ${reason}`, this.closed(reason as CloseReason), n)
      ),
      ...Object.entries(stats.refused).map(([reason, n]) =>
        expect(`refused for ${reason}`, refused.filter((event) => reasonOf(event) === reason).length, n)
      ),
      ...Object.entries(stats.refused).map(([reason, n]) =>
        expect(`a caller that left for ${reason}`, this.left(reason as RefusalReason), n)
      )
    ]
    return wrongs.find((wrong) => wrong !== undefined)
  }

  /** Each caller is told of once. */
  private get wrongCallers(): string | undefined {
    const { atEnd, loans } = this
    if (loans.length !== atEnd?.callers) return `${loans.length} loans are told of ${atEnd?.callers} callers`
  }

  private count(tag: Tag): number {
    return this.events.filter(({ _tag }) => _tag === tag).length
  }

  private closed(reason: CloseReason): number {
    return this.events.filter((event) => event._tag === "Closed" && event.reason === reason).length
  }

  private left(outcome: LoanOutcome): number {
    return this.loans.filter((loan) => loan.outcome === outcome).length
  }
}
