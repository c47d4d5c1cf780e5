/** What was seen in a storm: how much of what, how long it took, and what must not have been. */
import type { SqlError } from "@effect/sql/SqlError"
import { Cause, Effect, Exit, Predicate } from "effect"
import type { Chance } from "./chance.js"

/** The failure that was wanted. */
export class Deliberate extends Error {
  override readonly message = "deliberate"
}

const count = (counts: Map<string, number>, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1)

export class Witness {
  operations = 0
  statements = 0
  interrupts = 0
  /** Statements that failed although nothing of their operation had been cut off. */
  innocentFailures = 0
  /** Operations that had not ended long after they should have. */
  stuck = 0
  /** All failures by kind, also those that had to come. */
  readonly failures = new Map<string, number>()
  /** What must not be, and how often it was. */
  readonly faults = new Map<string, number>()
  /** Milliseconds from an interrupt to the end of what was interrupted, by operation. */
  readonly latencies = new Map<string, Array<number>>()
  /** Kinds of failures that can meet anybody. */
  readonly excused = new Set<string>()
  private readonly told = new WeakSet<object>()
  private numbers = 0

  /** A number that nobody else has. */
  number(): number {
    return ++this.numbers
  }

  fault(what: string): void {
    count(this.faults, what)
  }

  failed(operation: Operation, error: unknown, expected?: string): void {
    if (Predicate.isObject(error)) {
      if (this.told.has(error)) return
      this.told.add(error)
    }
    const kind = kindOf(error)
    count(this.failures, kind)
    if (error instanceof Deliberate || kind === expected || this.excused.has(kind)) return
    if (operation.isGuilty && !neverRight.has(kind)) return
    this.innocentFailures++
    this.fault(`${operation.name} failed without a reason: ${kind}`)
  }

  ended(operation: Operation, exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isSuccess(exit)) return
    for (const error of Cause.failures(exit.cause)) this.failed(operation, error)
    for (const defect of Cause.defects(exit.cause)) {
      if (!(defect instanceof Deliberate)) this.fault(`${operation.name} died: ${kindOf(defect)}`)
    }
    if (Cause.isInterruptedOnly(exit.cause) && !operation.isInterrupted) {
      this.fault(`${operation.name} was interrupted by nobody`)
    }
  }

  interrupted(operation: Operation, millis: number): void {
    const all = this.latencies.get(operation.name)
    if (all === undefined) this.latencies.set(operation.name, [millis])
    else all.push(millis)
  }
}

/** A cancel of somebody else's, or a pool that refuses though it is open and its queue has no end. */
const neverRight = new Set(["57014", "PoolExhausted", "PoolClosed", "PoolQueueFull"])

/** The SQLSTATE where the server has said something, else what it is called. */
export const kindOf = (error: unknown): string => {
  const cause = Predicate.isTagged(error, "SqlError") ? (error as SqlError).cause : error
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return cause.code
  if (Predicate.hasProperty(cause, "_tag") && typeof cause._tag === "string") return cause._tag
  if (!(cause instanceof Error)) return String(cause)
  return cause.constructor === Error ? cause.message : cause.constructor.name
}

/** One thing that a fiber of the storm does. */
export class Operation {
  /** From outside, by the storm. */
  isInterrupted = false
  /** A part of it was interrupted or has failed: what follows in the same transaction may fail (R22). */
  isCutOff = false

  constructor(
    readonly witness: Witness,
    readonly name: string,
    readonly chance: Chance
  ) {}

  get isGuilty(): boolean {
    return this.isInterrupted || this.isCutOff
  }

  /** A statement that has to give back the number that it is given, and that nobody else has. */
  answer<E>(ask: (n: number) => Effect.Effect<unknown, E>): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      const n = this.witness.number()
      this.witness.statements++
      return ask(n).pipe(
        Effect.tapError((error) => Effect.sync(() => this.witness.failed(this, error))),
        Effect.flatMap((answer) =>
          Effect.sync(() => {
            if (answer !== n) this.witness.fault(`${this.name} got an answer that was not its own`)
          })
        )
      )
    })
  }

  /** A statement that has to fail with a SQLSTATE. */
  refusal(code: string, statement: Effect.Effect<unknown, unknown>): Effect.Effect<never, Deliberate> {
    return Effect.suspend(() => {
      this.witness.statements++
      return Effect.matchEffect(statement, {
        onFailure: (error) => {
          this.witness.failed(this, error, code)
          return Effect.fail(new Deliberate())
        },
        onSuccess: () => {
          this.witness.fault(`${this.name} did not fail with ${code}`)
          return Effect.fail(new Deliberate())
        }
      })
    })
  }
}
