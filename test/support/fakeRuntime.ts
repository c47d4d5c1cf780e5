/**
 * The state machine without fibers. All that it tells the outside is told to this: it runs inside the call, and answers
 * inside the call too, as fibers of Effect 4 do.
 */
import { Effect } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { decodePool } from "../../src/internal/pool/options.js"
import { Outbox } from "../../src/internal/pool/outbox.js"
import { ElasticPoolState } from "../../src/internal/pool/pool.js"
import { Reach } from "../../src/internal/pool/reach.js"
import type { Sleeper, Timers } from "../../src/internal/pool/runtime.js"
import type { Command, Slot } from "../../src/internal/pool/slot.js"

interface Timer {
  readonly delay: () => number
  readonly ring: () => void
  readonly isRepeated: boolean
}

/** What is told to those outside. */
export type Told = "begin" | "interrupt" | Command | "sleep"

export class FakeRuntime {
  now = 0
  /** Which parties were told something, and how often. */
  readonly told = new Map<string, number>()
  /** What was told while a section ran, and steps of the machine that ran outside of any. */
  readonly wrongs: Array<string> = []
  /** Connects that go on until the test ends them, where they are not `quick`. */
  readonly dials: Array<Slot<object>> = []
  readonly state: ElasticPoolState<object, string>
  private readonly outbox = new Outbox()
  private readonly timers = new Map<Sleeper, { readonly timer: Timer; readonly at: number }>()
  private readonly fibers = new Map<Sleeper, Slot<object>>()

  /** `quick`: a connect has succeeded when its fiber has begun. */
  constructor(options: ElasticPool.PoolOptions, private readonly quick = false) {
    const settings = { ...decodePool({ expiresJitter: 0, ...options }), share: 1 }
    const io = { ...this.clock(), clock: undefined as never, fork: this.fork as never, date: () => this.now }
    const log = { info: () => {}, warn: () => {}, error: () => {} }
    const reach = new Reach({ millis: 500, isSet: true })
    this.state = new ElasticPoolState<object, string>(settings, {
      acquire: Effect.never,
      check: () => Effect.never,
      reset: () => Effect.never,
      released: () => Effect.void,
      canCheck: true,
      canShare: () => false,
      isUsable: () => true,
      needsReset: () => false,
      isRunning: undefined,
      processId: undefined,
      isTransient: () => true,
      isPermanent: () => false
    }, { ...io, io, log, reach, chance: () => 0, date: () => this.now, makeMeter: undefined })
    this.watchMethods()
  }

  /** Somebody outside is told something: no section may run. */
  hears(who: string): void {
    this.told.set(who, (this.told.get(who) ?? 0) + 1)
    if (this.depth > 0) this.wrongs.push(`${who} is told within a section`)
  }

  private get depth(): number {
    return this.outbox["depth"]
  }

  private clock(): Timers {
    return {
      outbox: this.outbox,
      now: () => this.now,
      repeat: (delay, ring) => this.sleeps({ delay, ring, isRepeated: true }),
      delays: () => ({
        next: (_failure, quiet, end) =>
          this.sleeps({ delay: () => 50 + quiet(), ring: () => end(true), isRepeated: false })
      }),
      interrupt: (running) => {
        this.hears("interrupt")
        const slot = this.fibers.get(running)
        if (slot === undefined) this.timers.delete(running)
        else this.ends(slot)
      }
    }
  }

  private sleeps(timer: Timer): Sleeper {
    this.hears("sleep")
    const running = {} as Sleeper
    this.timers.set(running, { timer, at: this.now + timer.delay() })
    return running
  }

  /** Begun in the order in which the machine has counted them. */
  private readonly fork = (): Sleeper => {
    this.hears("begin")
    const running = {} as Sleeper
    const known = new Set(this.fibers.values())
    const slot = [...this.state["connections"].all].find((slot) => !known.has(slot))!
    this.fibers.set(running, slot)
    Object.assign(slot, { give: (command: Command) => this.obey(slot, command) })
    if (this.quick) this.opens(slot)
    else this.dials.push(slot)
    return running
  }

  opens(slot: Slot<object>): void {
    this.state.supply["owner"].opened(slot, {})
  }

  private obey(slot: Slot<object>, command: Command): void {
    this.hears(command)
    if (command === "retire") this.ends(slot)
    else this.state.supply["owner"].ready(slot)
  }

  private ends(slot: Slot<object>): void {
    if (!this.state["connections"].all.has(slot)) return
    this.state.supply["owner"].closing(slot)
    this.outbox.section(() => this.state.supply["gone"](slot, undefined))
  }

  advance(millis: number): void {
    const end = this.now + millis
    for (;;) {
      const [next] = [...this.timers].sort(([, a], [, b]) => a.at - b.at)
      if (next === undefined || next[1].at > end) break
      const [running, { at, timer }] = next
      this.now = Math.max(this.now, at)
      this.outbox.section(timer.ring)
      const delay = timer.isRepeated ? timer.delay() : Infinity
      // It may have been interrupted while it rang.
      if (this.timers.delete(running) && delay < Infinity) this.timers.set(running, { timer, at: this.now + delay })
    }
    this.now = end
  }

  /** No step of the machine runs outside a section: else what it tells would be told in its midst. */
  private watchMethods(): void {
    const { prototype } = ElasticPoolState
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value !== "function" || name === "constructor" || opensASection.has(name)) continue
      Object.assign(this.state, {
        [name]: (...args: ReadonlyArray<unknown>) => {
          if (this.depth === 0) this.wrongs.push(`${name} runs outside a section`)
          return value.apply(this.state, args)
        }
      })
    }
  }
}

/** The ways in; `stats` only reads. */
const opensASection = new Set([
  "take",
  "request",
  "wait",
  "leave",
  "start",
  "release",
  "invalidate",
  "shareable",
  "lost",
  "resize",
  "stats"
])
