/** @internal */
import type { Holder, SpanFrame } from "../../PoolHolder.js"
import { framesOf } from "../spans.js"
import type { Loan } from "./loan.js"
import type { Port } from "./port.js"
import type { FiberName, Span } from "./runtime.js"
import { hasEnded, idOf, nameOf, spanOf } from "./runtime.js"

/** Asked by `console.log`. */
const inspect = Symbol.for("nodejs.util.inspect.custom")

/**
 * A borrower as it was at one instant. Its spans are looked at only when somebody reads them: a refusal at full speed
 * must not cost that. It keeps its fiber's name and not the fiber, for an error may be kept for long.
 */
class Held implements Holder {
  readonly heldFor: number
  readonly isRunning: boolean | undefined
  readonly processId: number | undefined
  readonly #fiber: FiberName | undefined
  readonly #taken: Span
  readonly #now: Span
  #takenIn: ReadonlyArray<SpanFrame> | undefined = undefined
  #nowIn: ReadonlyArray<SpanFrame> | undefined = undefined

  constructor(
    { borrower, since, span }: Loan<unknown>,
    now: number,
    { isRunning, processId }: Pick<Holder, "isRunning" | "processId">
  ) {
    this.heldFor = now - since
    this.isRunning = isRunning
    this.processId = processId
    this.#fiber = borrower === undefined ? undefined : idOf(borrower)
    this.#taken = span
    this.#now = borrower === undefined || hasEnded(borrower) ? undefined : spanOf(borrower)
  }

  get fiber(): string {
    return this.#fiber === undefined ? "" : nameOf(this.#fiber)
  }

  get takenIn(): ReadonlyArray<SpanFrame> {
    return this.#takenIn ??= framesOf(this.#taken)
  }

  get nowIn(): ReadonlyArray<SpanFrame> {
    return this.#nowIn ??= framesOf(this.#now)
  }

  toJSON(): Holder {
    const { fiber, heldFor, isRunning, nowIn, processId, takenIn } = this
    return { fiber, heldFor, takenIn: takenIn.map(plain), nowIn: nowIn.map(plain), isRunning, processId }
  }

  [inspect](): Holder {
    return this.toJSON()
  }
}

const plain = ({ location, name }: SpanFrame): SpanFrame => ({ name, location })

/**
 * Who holds the connections.
 *
 * @internal
 */
export class Holders<A> {
  private latest: ReadonlyArray<Holder> | undefined = undefined
  private takenAt = 0

  constructor(private readonly pool: Port<A, any>) {}

  /** A loan has begun or ended. Nothing is kept of fibers that may be gone. */
  changed(): void {
    this.latest = undefined
  }

  /** The one that has held its connection longest is the first. Callers that are refused together share the list. */
  at(now: number): ReadonlyArray<Holder> {
    if (this.latest !== undefined && this.takenAt === now) return this.latest
    this.takenAt = now
    return this.latest = [...this.loans()].sort((a, b) => a.since - b.since).map((loan) => this.of(loan, now))
  }

  of(loan: Loan<A>, now: number): Holder {
    const { resource } = this.pool
    return new Held(loan, now, {
      isRunning: resource.isRunning?.(loan.value),
      processId: resource.processId?.(loan.value)
    })
  }

  private *loans(): Iterable<Loan<A>> {
    for (const slot of this.pool.connections.all) yield* slot.loans
  }
}
