import { Effect, Logger, LogLevel, Random, Runtime, Supervisor } from "effect"
import type { Context, Exit, Fiber, Option } from "effect"
import { VirtualLoop } from "../../src/internal/testing/virtualLoop.js"

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

/**
 * A world in which Effect runs by hand: nothing happens but what `step`, `settle` and `advance` make happen. It knows
 * every fiber that is alive, and an interrupt can be placed between any two tasks.
 */
export class Simulation extends VirtualLoop {
  /** Fibers that yield once after so many operations more, as if their 2048 were spent by then. */
  readonly yielding = new Map<Fiber.RuntimeFiber<any, any>, number>()
  private readonly fibers = new Fibers()
  readonly runtime: Runtime.Runtime<never>

  /** `afterTask` runs after each task, `whenQuiet` whenever there is nothing left to do at an instant. */
  constructor(
    seed: number,
    private readonly afterTask: () => void = () => {},
    private readonly whenQuiet: () => void = () => {}
  ) {
    super()
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

  override shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    const left = this.yielding.get(fiber)
    if (left === undefined) return super.shouldYield(fiber)
    if (left > 0) this.yielding.set(fiber, left - 1)
    else this.yielding.delete(fiber)
    return left > 0 ? false : 0
  }

  /** Fibers that have not ended. */
  get alive(): ReadonlySet<Fiber.RuntimeFiber<unknown, unknown>> {
    return this.fibers.alive
  }

  /** Starts a fiber on the spot. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    const fiber = Runtime.runFork(this.runtime)(effect)
    this.afterTask()
    return fiber
  }

  override step(): boolean {
    const hasRun = super.step()
    if (hasRun) this.afterTask()
    return hasRun
  }

  override settle(): void {
    super.settle()
    this.whenQuiet()
  }
}
