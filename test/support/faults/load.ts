/** The steady load that runs through a case: 32 fibers, of whose calls every fifth is a transaction. */
import { Effect, Fiber } from "effect"
import type { Call, Outcome } from "./call.js"
import { call } from "./call.js"
import type { Contender } from "./contender.js"
import type { Ledger } from "./ledger.js"
import { fullRate, window } from "./noise.js"

const callers = 32

/**
 * So long does a query keep its connection, in milliseconds. So the rate tells how many connections are at work, and not
 * how fast this machine is at the moment.
 */
const service = 20

/** A service that has failed does not come again at once. Milliseconds. */
const pause = 20

export class Load {
  readonly calls: Array<Call> = []
  private readonly fibers: Array<Fiber.RuntimeFiber<void>> = []
  private isStopped = false
  private questions = 0

  constructor(
    private readonly contender: Contender,
    private readonly ledger: Ledger,
    readonly deadline: number
  ) {}

  readonly start: Effect.Effect<void> = Effect.gen(this, function*() {
    for (let n = 0; n < callers; n++) this.fibers.push(yield* Effect.forkDaemon(this.work(n)))
  })

  /** Ends when all have ended their last call. Gives how many had not long after their deadline: they are left behind. */
  readonly stop: Effect.Effect<number> = Effect.gen(this, function*() {
    this.isStopped = true
    const all = Fiber.joinAll(this.fibers)
    yield* Effect.timeoutOption(Effect.disconnect(all), this.deadline + 1000)
    const stuck = this.fibers.filter((fiber) => fiber.unsafePoll() === null)
    for (const fiber of stuck) fiber.unsafeInterruptAsFork(fiber.id())
    return stuck.length
  })

  /** Calls that went well, in a second of that time. */
  rate(from: number, to: number): number {
    return 1000 * this.calls.filter(({ end, outcome }) => outcome === "ok" && end >= from && end < to).length /
      (to - from)
  }

  /** Milliseconds from a moment until the load had its full rate again; `Infinity` where it never had. */
  recovery(since: number, before: number): number {
    const ends = this.calls.filter(({ end, outcome }) => outcome === "ok" && end >= since).map(({ end }) => end)
    ends.sort((a, b) => a - b)
    const enough = Math.ceil(fullRate * before * window / 1000)
    for (let i = enough - 1; i < ends.length; i++) {
      if (ends[i] - ends[i - enough + 1] <= window) return ends[i] - since
    }
    return Infinity
  }

  /** The most that a caller was later than its deadline. Milliseconds. */
  get late(): number {
    return Math.max(0, ...this.calls.map(({ late }) => late))
  }

  count(outcome: Outcome): number {
    return this.calls.filter((call) => call.outcome === outcome).length
  }

  private work(n: number): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      for (let turn = n; !this.isStopped; turn++) {
        const ended = yield* turn % 5 === 4 ? this.transact : this.ask
        if (ended.outcome !== "ok") yield* Effect.sleep(pause)
      }
    })
  }

  private readonly ask: Effect.Effect<Call> = Effect.suspend(() => {
    const n = ++this.questions
    const { contender } = this
    return this.record(
      "query",
      Effect.flatMap(
        contender.query(`SELECT $1::int AS n, pg_sleep(${service / 1000})`, [n]),
        (rows) => rows[0]?.n === n ? Effect.void : Effect.die(new Error("an answer that was not its own"))
      )
    )
  })

  private readonly transact: Effect.Effect<Call> = Effect.suspend(() => {
    const { id, statements } = this.ledger.next()
    return Effect.tap(
      this.record("transaction", this.contender.transaction(statements)),
      (ended) => Effect.sync(() => this.ledger.ended(id, ended))
    )
  })

  /** One call by itself, with the deadline of the load and among its calls. */
  record(kind: string, use: Effect.Effect<unknown, unknown>): Effect.Effect<Call> {
    return Effect.tap(call(kind, this.deadline, use), (ended) => Effect.sync(() => this.calls.push(ended)))
  }
}
