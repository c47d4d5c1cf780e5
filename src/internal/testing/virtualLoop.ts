/** @internal */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import { Misuse } from "../decode.js"
import type { Timer } from "./timerHeap.js"
import { TimerHeap } from "./timerHeap.js"

interface Task {
  readonly priority: number
  readonly run: () => void
}

/** More steps at one instant, and something runs in circles: a burst of a few hundred thousand requests takes fewer. */
const tooMany = 2_000_000

const runsAlready = "runUntil: it runs already, and this was called by it. Use `after` for what is to happen later"

/** A fiber yields after so many operations, as in Effect's own scheduler. */
const operationsAtOnce = 2048

/**
 * An event loop whose time jumps from one timer to the next: a scheduler that runs the tasks of fibers when told to, and a
 * clock. There are no promises in it, so it is fast, and the same calls always give the same result.
 *
 * @internal
 */
export class VirtualLoop implements Scheduler.Scheduler {
  /** In milliseconds. */
  now = 0
  private readonly timers = new TimerHeap()
  private readonly tasks: Array<Task> = []
  private isRunning = false
  /** What failed where nobody would hear of it, such as in the fiber of a connection. */
  private kept: { readonly defect: unknown } | undefined = undefined

  readonly clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => this.now,
    unsafeCurrentTimeNanos: () => BigInt(Math.round(this.now * 1e6)),
    currentTimeMillis: Effect.sync(() => this.now),
    currentTimeNanos: Effect.sync(() => BigInt(Math.round(this.now * 1e6))),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const timer = this.setTimer(Duration.toMillis(duration), () => resume(Effect.void))
        return Effect.sync(() => this.callOff(timer))
      })
  }

  /** Calls back after so many milliseconds. Gives what calls that off. */
  schedule(millis: number, ring: () => void): () => void {
    const timer = this.setTimer(millis, ring)
    return () => this.callOff(timer)
  }

  setTimer(millis: number, ring: () => void): Timer {
    return this.setTimerAt(this.now + millis, ring)
  }

  setTimerAt(at: number, ring: () => void): Timer {
    return this.timers.add(at, ring)
  }

  /** Does nothing where it has rung. */
  callOff(timer: Timer): void {
    this.timers.remove(timer)
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return fiber.currentOpCount > operationsAtOnce ? 0 : false
  }

  scheduleTask(run: () => void, priority: number): void {
    const at = this.tasks.findIndex((task) => task.priority > priority)
    this.tasks.splice(at === -1 ? this.tasks.length : at, 0, { priority, run })
  }

  /** Timers that have not rung. */
  get timersSet(): number {
    return this.timers.size
  }

  get isQuiet(): boolean {
    return this.tasks.length === 0 && !this.isDue(this.now)
  }

  private isDue(until: number): boolean {
    return this.timers.first !== undefined && this.timers.first.at <= until
  }

  /** Throws this before the next step, as the loop has nobody else to tell. Of several, the first counts. */
  keep(defect: unknown): void {
    this.kept ??= { defect }
  }

  /** Calls a user's code. Where the loop runs, its failure is kept: it is none of those that called it. */
  call(code: () => void): void {
    if (!this.isRunning) return code()
    try {
      code()
    } catch (defect) {
      this.keep(defect)
    }
  }

  /** Runs one task, or rings one timer that is due. Tells whether there was one. */
  step(): boolean {
    if (this.kept !== undefined) this.throwKept(this.kept)
    const task = this.tasks.shift()
    if (task !== undefined) task.run()
    else if (this.isDue(this.now)) this.ringNext()
    else return false
    return true
  }

  private throwKept({ defect }: { readonly defect: unknown }): never {
    this.kept = undefined
    throw defect
  }

  /** Runs until nothing is left to do at this instant. */
  settle(): void {
    for (let steps = 0; this.step(); steps++) {
      if (steps > tooMany) throw new Error(`it runs in circles at ${this.now} ms`)
    }
  }

  /** Lets time pass, stopping at each timer on the way. */
  advance(millis: number): void {
    this.advanceTo(this.now + millis)
  }

  advanceTo(end: number): void {
    if (this.isRunning) throw new Misuse(runsAlready)
    this.isRunning = true
    try {
      this.settle()
      while (this.isDue(end)) {
        this.ringNext()
        this.settle()
      }
      this.now = end
      this.settle()
    } finally {
      this.isRunning = false
    }
  }

  /** Goes to the next timer and rings it, but does nothing else yet. Tells whether there was one. */
  skip(): boolean {
    return this.isDue(Infinity) && this.ringNext()
  }

  private ringNext(): true {
    const timer = this.timers.first!
    this.timers.remove(timer)
    this.now = Math.max(this.now, timer.at)
    timer.ring()
    return true
  }
}
