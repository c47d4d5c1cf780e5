/** @internal */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Random from "effect/Random"
import * as EffectRuntime from "effect/Runtime"
import { Outbox } from "../pool/outbox.js"
import type { Runtime, Sleeper, Timers } from "../pool/runtime.js"
import { longestTimer, makeRuntime } from "../pool/runtime.js"
import type { Time } from "../time/time.js"
import type { Timer } from "./timerHeap.js"
import type { VirtualLoop } from "./virtualLoop.js"

/**
 * Makes what each pool gets from the place where it is built. It differs from that of real time in its timers only, which
 * need no fiber here.
 *
 * @internal
 */
export const runtimesOf = (loop: VirtualLoop, seed: number): () => Runtime => {
  const random = Random.make(seed)
  // What a pool logs is not of interest here: its statistics tell the same.
  const runtime = EffectRuntime.runSync(EffectRuntime.defaultRuntime)(
    Effect.runtime<never>().pipe(
      Effect.withScheduler(loop),
      Effect.withClock(loop.clock),
      Effect.withRandom(random),
      Logger.withMinimumLogLevel(LogLevel.None)
    )
  )
  const now = () => wholeMillis(loop.now)
  const runFork = EffectRuntime.runFork(runtime)
  const time: Time = { clock: loop.clock, now, date: now, fork: (effect) => runFork(Effect.interruptible(effect)) }
  const chance = () => EffectRuntime.runSync(runtime)(random.next)
  return () => {
    const outbox = new Outbox()
    const real = makeRuntime(time, time, chance, "", outbox)
    const repeat: Timers["repeat"] = (delay, ring) => new Repeated(loop, delay, () => outbox.section(ring))
    return { ...real, repeat, io: { ...real.io, repeat } }
  }
}

/** As the pool reads them from a clock: nanoseconds, of which all but whole milliseconds are left out. */
const wholeMillis = (millis: number): number => Math.floor(Math.round(millis * 1e6) / 1e6)

/** What `Timers.repeat` is in real time, where it has a fiber. */
class Repeated implements Sleeper {
  private timer: Timer | undefined = undefined
  private isOver = false

  constructor(
    private readonly loop: VirtualLoop,
    private readonly delay: () => number,
    private readonly ring: () => void
  ) {
    this.wait()
  }

  private wait(): void {
    const delay = this.delay()
    if (this.isOver || delay === Infinity) return
    this.timer = this.loop.setTimer(Math.min(Math.max(0, Math.ceil(delay)), longestTimer), () => {
      this.ring()
      this.wait()
    })
  }

  unsafeInterruptAsFork(): void {
    this.isOver = true
    if (this.timer !== undefined) this.loop.callOff(this.timer)
  }
}
