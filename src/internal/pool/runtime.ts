/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Fork, Time } from "../time/time.js"
import { named } from "../words.js"
import { Outbox } from "./outbox.js"

/*
 * All that the state machine needs of Effect stands here; the permits (`permits.ts`) and the fiber of a connection
 * (`life.ts`) are the only other parts of the pool that know it. What comes from here is opaque to the others.
 */

// --- how a wait or a connect ends ----------------------------------------------------------------------------------

/** How a wait ends. @internal */
export type Outcome<A, E> = Exit.Exit<A, E>

/** Why a wait or a connect has failed. @internal */
export type Failure<E> = Cause.Cause<E>

/** @internal */
export const succeeded: <A>(value: A) => Outcome<A, never> = Exit.succeed

/** @internal */
export const failed: <E>(failure: Failure<E>) => Outcome<never, E> = Exit.failCause

/** @internal */
export const failure: <E>(error: E) => Failure<E> = Cause.fail

/** @internal */
export const defect: (defect: unknown) => Failure<never> = Cause.die

/** The error of a failure, or else its defect. @internal */
export const reasonOf: (failure: Failure<unknown>) => unknown = Cause.squash

/** The error that a failure is due to, if it is no defect. @internal */
export const errorOf = <E>(failure: Failure<E>): { readonly error: E } | undefined =>
  Option.getOrUndefined(Option.map(Cause.failureOption(failure), (error) => ({ error })))

/** @internal */
export const defectOf = (failure: Failure<unknown>): unknown => Option.getOrUndefined(Cause.dieOption(failure))

/** An `acquire` that interrupts itself must not look like an interrupt of the caller. @internal */
export const withoutInterrupts = <E>(failure: Failure<E>): Failure<E> =>
  Cause.isInterruptedOnly(failure) ? Cause.die(new Cause.InterruptedException("acquire interrupted itself")) : failure

// --- fibers --------------------------------------------------------------------------------------------------------

/** Something that runs by itself. @internal */
export type Running = Fiber.RuntimeFiber<unknown>

/** What waits by a clock: a fiber, where there is no lighter way. @internal */
export interface Sleeper extends Pick<Running, "unsafeInterruptAsFork"> {}

/** The fiber that has a resource in hand. @internal */
export type Borrower = Fiber.RuntimeFiber<unknown, unknown>

/** The span that a borrower is in. @internal */
export type Span = Borrower["currentSpan"]

/** @internal */
export const spanOf = (borrower: Borrower): Span => borrower.currentSpan

/** @internal */
export const spanNameOf = (span: Span): string | undefined => span?._tag === "Span" ? span.name : undefined

/** @internal */
export const hasEnded = (borrower: Borrower): boolean => borrower.unsafePoll() !== null

/** @internal */
export type FiberName = FiberId.FiberId

/** @internal */
export const idOf = (borrower: Borrower): FiberName => borrower.id()

/** @internal */
export const nameOf = (id: FiberName): string => FiberId.threadName(id)

/** The lines that the pool writes into the log of its owner, or of a borrower. @internal */
export interface Log {
  readonly info: (line: string, borrower?: Borrower) => void
  readonly warn: (line: string, borrower?: Borrower) => void
  readonly error: (line: string) => void
}

// --- time ----------------------------------------------------------------------------------------------------------

/** `connectRetry`. @internal */
export type RetryPolicy = Schedule.Schedule<unknown, unknown>

/** 50 ms, growing to 500 ms, each up to a fifth shorter by chance (R18). @internal */
export const defaultRetry: RetryPolicy = Schedule.exponential(50).pipe(
  Schedule.either(Schedule.spaced(500)),
  Schedule.jitteredWith({ min: 0.8, max: 1 })
)

/** The delays of a policy, one after the other. @internal */
export interface Delays {
  /**
   * Waits for the next delay, and until `quiet`, which is asked again and again, asks for no more milliseconds. Then calls
   * `end`: with `false` where the policy has no more delays.
   */
  readonly next: (failure: Failure<unknown>, quiet: () => number, end: (goesOn: boolean) => void) => Sleeper
}

/** A clock, and what waits by it. All that waits calls back in a section of its own. @internal */
export interface Timers {
  readonly outbox: Outbox
  /** In milliseconds. */
  readonly now: () => number
  /** Calls `ring` again and again, each time after `delay()` milliseconds, as long as that is finite. */
  readonly repeat: (delay: () => number, ring: () => void) => Sleeper
  readonly delays: (policy: RetryPolicy) => Delays
  readonly interrupt: (running: Sleeper) => void
}

/** What the pool is given by the place where it is built. Its own clock is that of its policy (R14). @internal */
export interface Runtime extends Time, Timers {
  /** The clock of deadlines on I/O (R14). */
  readonly io: Time & Timers
  readonly log: Log
  /** A number from 0 to 1. */
  readonly chance: () => number
}

/** @internal */
export const makeRuntime = (
  policy: Time,
  io: Time,
  chance: () => number,
  name = "",
  outbox = new Outbox()
): Runtime => ({
  ...policy,
  ...timersOf(policy, outbox),
  io: { ...io, ...timersOf(io, outbox) },
  log: logOf(policy.fork, outbox, name),
  chance
})

const logOf = (fork: Fork, outbox: Outbox, name: string): Log => {
  const say = (line: Effect.Effect<void>, borrower: Borrower | undefined) =>
    outbox.post(() => {
      // With the loggers, the level and the annotations of the borrower.
      fork(borrower === undefined ? line : Effect.zipRight(Effect.setFiberRefs(borrower.getFiberRefs()), line))
    })
  return {
    info: (line, borrower) => say(Effect.logInfo(named(name, line)), borrower),
    warn: (line, borrower) => say(Effect.logWarning(named(name, line)), borrower),
    error: (line) => say(Effect.logError(named(name, line)), undefined)
  }
}

const timersOf = (time: Time, outbox: Outbox): Timers => ({
  outbox,
  now: time.now,
  repeat: (delay, ring) => time.fork(repeated(time, delay, () => outbox.section(ring))),
  delays: (policy) => new ScheduledDelays(time, policy, outbox),
  interrupt: (running) => running.unsafeInterruptAsFork(FiberId.none)
})

/** Past 2^31 ms a timer of JavaScript does not wait at all; it is enough to look again then. @internal */
export const longestTimer = 2 ** 31 - 1

const repeated = ({ clock }: Time, delay: () => number, ring: () => void): Effect.Effect<unknown> => {
  const untilDue = Schedule.forever.pipe(
    // Whole milliseconds, rounded up: a timer that rings too early would ring again and again until it is time.
    Schedule.delayed(() => Math.min(Math.max(0, Math.ceil(delay())), longestTimer)),
    Schedule.whileOutput(() => delay() < Infinity)
  )
  return Effect.schedule(Effect.sync(ring), untilDue).pipe(
    Effect.withClock(clock),
    Effect.tapDefect((defect) => Effect.logError("A timer of the pool has died", defect))
  )
}

class ScheduledDelays implements Delays {
  private driver: Schedule.ScheduleDriver<unknown, unknown> | undefined = undefined

  constructor(
    private readonly time: Time,
    private readonly policy: RetryPolicy,
    private readonly outbox: Outbox
  ) {}

  next(failure: Failure<unknown>, quiet: () => number, end: (goesOn: boolean) => void): Running {
    const ended = (goesOn: boolean) => this.outbox.section(() => end(goesOn))
    const isQuiet = asLongAs(quiet)
    return this.time.fork(
      Effect.suspend(() => this.started).pipe(
        Effect.flatMap((delays) => Effect.zip(Effect.exit(delays.next(failure)), isQuiet, { concurrent: true })),
        // More quiet may have been asked for meanwhile.
        Effect.flatMap(([delay]) => Effect.zipRight(isQuiet, delay)),
        // Where the schedule has no delays, and connects fail on the spot, timers must have their turn all the same.
        Effect.zipRight(Effect.sleep(0)),
        Effect.withClock(this.time.clock),
        Effect.matchCause({ onSuccess: () => ended(true), onFailure: () => ended(false) })
      )
    )
  }

  private get started(): Effect.Effect<Schedule.ScheduleDriver<unknown, unknown>> {
    return this.driver === undefined
      ? Effect.map(Schedule.driver(this.policy), (driver) => this.driver = driver)
      : Effect.succeed(this.driver)
  }
}

const asLongAs = (quiet: () => number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const millis = quiet()
    return millis === 0 ? Effect.void : Effect.zipRight(Effect.sleep(millis), asLongAs(quiet))
  })
