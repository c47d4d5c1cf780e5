import { Clock, Duration, Effect, Logger, LogLevel, Random, Runtime, Supervisor } from "effect"
import type { Context, Exit, Fiber, Option, Scheduler } from "effect"

interface Timer {
  readonly at: number
  readonly id: number
  readonly ring: () => void
}

class Fibers extends Supervisor.AbstractSupervisor<void> {
  readonly alive = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  override readonly value = Effect.void

  override onStart<A, E, R>(
    _context: Context.Context<R>,
    _effect: Effect.Effect<A, E, R>,
    _parent: Option.Option<Fiber.RuntimeFiber<any, any>>,
    fiber: Fiber.RuntimeFiber<A, E>
  ): void {
    this.alive.add(fiber)
  }

  override onEnd<A, E>(_exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    this.alive.delete(fiber)
  }
}

/** More than this at one instant, and something runs in circles. */
const tooMany = 50_000

/**
 * A world in which Effect runs by hand: nothing happens but what `step`, `settle` and `advance` make happen, and the
 * same calls always give the same result. It is a scheduler that runs one task when told to, a clock whose timers ring
 * when told to, and a supervisor that knows every fiber that is alive. There are no promises in it, so it is fast, and
 * an interrupt can be placed between any two tasks.
 */
export class Simulation implements Scheduler.Scheduler {
  now = 0
  /** Fibers that yield once after so many operations more, as if their 2048 were spent by then. */
  readonly yielding = new Map<Fiber.RuntimeFiber<any, any>, number>()
  private readonly fibers = new Fibers()
  private readonly timers = new Map<number, Timer>()
  private readonly tasks: Array<{ readonly priority: number; readonly run: () => void }> = []
  private nextId = 0
  readonly runtime: Runtime.Runtime<never>

  /** `afterTask` runs after each task, `whenQuiet` whenever there is nothing left to do at an instant. */
  constructor(
    seed: number,
    private readonly afterTask: () => void = () => {},
    private readonly whenQuiet: () => void = () => {}
  ) {
    this.runtime = Effect.runSync(
      Effect.runtime<never>().pipe(
        Effect.supervised(this.fibers),
        Effect.withScheduler(this),
        Effect.withClock(this.clock),
        Effect.withRandom(Random.make(seed)),
        Logger.withMinimumLogLevel(LogLevel.None)
      )
    )
  }

  readonly clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => this.now,
    unsafeCurrentTimeNanos: () => BigInt(Math.round(this.now * 1e6)),
    currentTimeMillis: Effect.sync(() => this.now),
    currentTimeNanos: Effect.sync(() => BigInt(Math.round(this.now * 1e6))),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const cancel = this.schedule(Duration.toMillis(duration), () => resume(Effect.void))
        return Effect.sync(cancel)
      })
  }

  /** Calls back after so many milliseconds. Gives what cancels it. */
  schedule(millis: number, ring: () => void): () => void {
    const id = this.nextId++
    this.timers.set(id, { at: this.now + millis, id, ring })
    return () => this.timers.delete(id)
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    const left = this.yielding.get(fiber)
    if (left === undefined) return fiber.currentOpCount > 2048 ? 0 : false
    if (left > 0) this.yielding.set(fiber, left - 1)
    else this.yielding.delete(fiber)
    return left > 0 ? false : 0
  }

  scheduleTask(run: () => void, priority: number): void {
    const at = this.tasks.findIndex((task) => task.priority > priority)
    this.tasks.splice(at === -1 ? this.tasks.length : at, 0, { priority, run })
  }

  /** Fibers that have not ended. */
  get alive(): ReadonlySet<Fiber.RuntimeFiber<unknown, unknown>> {
    return this.fibers.alive
  }

  /** Timers that have not rung. */
  get timersSet(): number {
    return this.timers.size
  }

  get isQuiet(): boolean {
    return this.tasks.length === 0 && this.nextTimer(this.now) === undefined
  }

  /** Starts a fiber on the spot. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    const fiber = Runtime.runFork(this.runtime)(effect)
    this.afterTask()
    return fiber
  }

  /** Runs one task, or rings one timer that is due. Tells whether there was one. */
  step(): boolean {
    const task = this.tasks.shift()
    const timer = task === undefined ? this.nextTimer(this.now) : undefined
    if (task !== undefined) task.run()
    else if (timer !== undefined) this.ring(timer)
    else return false
    this.afterTask()
    return true
  }

  /** Runs until nothing is left to do at this instant. */
  settle(): void {
    for (let steps = 0; this.step(); steps++) {
      if (steps > tooMany) throw new Error(`it runs in circles at ${this.now} ms`)
    }
    this.whenQuiet()
  }

  /** Lets time pass, stopping at each timer on the way. */
  advance(millis: number): void {
    const end = this.now + millis
    this.settle()
    for (let rings = 0;; rings++) {
      const timer = this.nextTimer(end)
      if (timer === undefined) break
      if (rings > tooMany) throw new Error(`timers ring without end at ${this.now} ms`)
      this.now = Math.max(this.now, timer.at)
      this.ring(timer)
      this.settle()
    }
    this.now = end
    this.settle()
  }

  /** Goes to the next timer and rings it, but does nothing else yet. Tells whether there was one. */
  skip(): boolean {
    const timer = this.nextTimer(Infinity)
    if (timer === undefined) return false
    this.now = Math.max(this.now, timer.at)
    this.ring(timer)
    return true
  }

  private ring(timer: Timer): void {
    this.timers.delete(timer.id)
    timer.ring()
  }

  private nextTimer(until: number): Timer | undefined {
    let next: Timer | undefined = undefined
    for (const timer of this.timers.values()) {
      if (timer.at <= until && (next === undefined || timer.at < next.at)) next = timer
    }
    return next
  }
}
