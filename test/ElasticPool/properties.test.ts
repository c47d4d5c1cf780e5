import { FastCheck as fc } from "effect"
import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { PoolWorld } from "../support/poolWorld.js"
import type { Take } from "../support/world/people.js"
import type { ConnectPlan, WorkPlan, WorldOptions } from "../support/world/plans.js"
import { calm } from "../support/world/plans.js"

/** What happens, as plain data; an index is taken modulo the number of what there is. */
type Command =
  | { readonly do: "take" } & Take
  | { readonly do: "interrupt"; readonly caller: number }
  | { readonly do: "finish"; readonly caller: number }
  | { readonly do: "invalidate" | "lose"; readonly conn: number }
  | { readonly do: "resize"; readonly maxsize: number; readonly more: number; readonly isInterrupted: boolean }
  | { readonly do: "evict"; readonly over: number }
  | { readonly do: "evictNow" }
  | { readonly do: "suspend" | "resume" | "drain"; readonly within?: number | undefined }
  | { readonly do: "advance"; readonly millis: number }

interface Schedule {
  readonly options: WorldOptions
  /** Each command, and how many tasks run before the next: with few, it comes in the midst of things. */
  readonly commands: ReadonlyArray<readonly [Command, number]>
  /** Close in the midst of things, or after all users are done. */
  readonly ending: "abrupt" | "calm"
}

const pick = <T>(...values: ReadonlyArray<T>): fc.Arbitrary<T> => fc.constantFrom(...values)

/** `often` is the harmless case, to which a counterexample shrinks. */
const mostly = <T>(often: T, weight: number, ...others: ReadonlyArray<T>): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constant(often), weight }, { arbitrary: pick(...others), weight: 1 })

const connect: fc.Arbitrary<ConnectPlan> = fc.record({
  end: mostly<ConnectPlan["end"]>(
    "ok",
    2,
    "error",
    "transient",
    "transient",
    "permanent",
    "die",
    "selfInterrupt",
    "never"
  ),
  delay: pick(0, 0, 7, 333, 1203, 2503),
  uninterruptible: mostly(false, 4, true),
  closeDelay: mostly(0, 2, 31, 3001),
  closeDies: mostly(false, 8, true)
})

const work: fc.Arbitrary<WorkPlan> = fc.record({
  end: mostly<WorkPlan["end"]>("ok", 3, "error", "never"),
  delay: pick(0, 0, 33, 333),
  uninterruptible: mostly(false, 4, true)
})

const waits = (rule: number | "auto", extraWait: number) => {
  const maxwait = rule === "auto" ? 200 : rule
  return { isAuto: rule === "auto", maxwait, acquireTimeout: Math.max(60, maxwait + extraWait) }
}

const options = (share: fc.Arbitrary<number>): fc.Arbitrary<WorldOptions> =>
  fc.record({
    share,
    maxsize: pick(1, 2, 3),
    more: pick(0, 1, 2, 3),
    maxwait: pick<number | "auto">(200, 0, 50, "auto"),
    whenFull: pick<WorldOptions["whenFull"]>("wait", "fail"),
    extraWait: pick(500, 2000, 29_800, -100),
    expires: pick(60_000, 3000, 900),
    expiresJitter: pick(0, 0.5),
    minsize: pick(0, 1, 2),
    idleTimeout: pick(undefined, 700),
    maxUses: mostly(undefined, 3, 1, 2),
    maxWaiting: mostly(undefined, 3, 1, 2),
    connectTimeout: pick(3000, 1500, 400),
    connectConcurrency: pick(4, 1, 2),
    retries: mostly(Infinity, 3, 0, 2),
    outageTimeout: pick(3000, 600),
    validateAfterIdle: pick(300, 0),
    warm: mostly(0, 3, 1, 2),
    canCheck: fc.boolean(),
    reset: pick<WorldOptions["reset"]>("none", "always", "odd"),
    yieldAfter: mostly(2048, 1, ...Array.from({ length: 40 }, (_, i) => i)),
    seed: fc.nat(99),
    connects: fc.array(connect, { maxLength: 12 }),
    checks: fc.array(work, { maxLength: 6 }),
    resets: fc.array(work, { maxLength: 6 })
  }).map(({ extraWait, maxsize, maxwait, more, ...rest }) => ({
    ...rest,
    maxsize,
    maxoverflow: maxsize + more,
    ...waits(maxwait, extraWait),
    minsize: Math.min(rest.minsize, maxsize),
    warm: Math.min(rest.warm, maxsize),
    cleanupTimeout: 120,
    closeTimeout: 300,
    suspendTimeout: 2000
  }))

const takeByFiber: fc.Arbitrary<Command> = fc.record({
  do: fc.constant("take" as const),
  by: pick("use" as const, "get" as const),
  hold: pick(undefined, 0, 20, 500, 5000),
  fails: mostly(false, 5, true)
})

const takeByRequest: fc.Arbitrary<Command> = fc.record({
  do: fc.constant("take" as const),
  by: pick("sharing" as const, "sharing" as const, "sharing" as const, "alone" as const),
  hold: pick(undefined, 0, 20, 500, 5000),
  again: mostly(0, 5, 1, 2)
})

const command = (takes: fc.Arbitrary<Command>): fc.Arbitrary<Command> =>
  fc.oneof(
    { weight: 8, arbitrary: takes },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("interrupt" as const), caller: fc.nat(9) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("finish" as const), caller: fc.nat(9) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: pick("invalidate" as const, "lose" as const), conn: fc.nat(5) })
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant("resize" as const),
        maxsize: pick(1, 2, 4),
        more: pick(0, 1, 3),
        isInterrupted: mostly(false, 3, true)
      })
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("evict" as const), over: mostly(0, 2, 250, 3000) }) },
    { weight: 1, arbitrary: fc.constant({ do: "evictNow" as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.oneof(
          { arbitrary: pick("resume" as const, "suspend" as const), weight: 20 },
          { arbitrary: fc.constant("drain" as const), weight: 1 }
        ),
        within: mostly(undefined, 1, 0, 50, 400, 5000)
      })
    },
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant("advance" as const), millis: pick(1, 7, 50, 200, 333, 1000, 4000) })
    }
  )

const schedule = (share: fc.Arbitrary<number>, takes: fc.Arbitrary<Command>): fc.Arbitrary<Schedule> =>
  fc.record({
    options: options(share),
    commands: fc.array(fc.tuple(command(takes), mostly(Infinity, 2, 0, 0, 1, 2, 3, 5, 8)), {
      maxLength: 40,
      size: "max"
    }),
    ending: pick("calm" as const, "abrupt" as const)
  })

const alone = schedule(fc.constant(1), takeByFiber)

const sharing = schedule(
  pick(2, 3, 4),
  fc.oneof({ weight: 3, arbitrary: takeByRequest }, { weight: 1, arbitrary: takeByFiber })
)

const at = <T>(items: ReadonlyArray<T>, index: number): T | undefined => items[index % items.length]

const obey = (world: PoolWorld, command: Command): void => {
  switch (command.do) {
    case "take":
      world.take(command)
      return
    case "interrupt": {
      const caller = at(world.callers.filter(({ state }) => state !== "done"), command.caller)
      if (caller !== undefined) world.interrupt(caller)
      return
    }
    case "finish": {
      const caller = at(world.callers.filter(({ state }) => state === "holding"), command.caller)
      if (caller !== undefined) world.finish(caller)
      return
    }
    case "invalidate":
    case "lose": {
      const conn = at(world.conns.filter(({ phase }) => phase === "open"), command.conn)
      if (conn !== undefined) world[command.do](conn)
      return
    }
    case "resize": {
      const maxsize = Math.max(command.maxsize, world.options.minsize)
      const fiber = world.resize(maxsize, maxsize + command.more)
      if (command.isInterrupted) fiber.unsafeInterruptAsFork(fiber.id())
      return
    }
    case "evict":
      world.evict({ over: command.over })
      return
    case "evictNow":
      world.evict({ now: true })
      return
    case "drain":
      world.drain(command.within)
      return
    case "suspend":
    case "resume":
      world[command.do]()
      return
    case "advance":
      world.advance(command.millis)
  }
}

const run = ({ commands, ending, options }: Schedule): PoolWorld => {
  const world = new PoolWorld(options)
  for (const [command, tasks] of commands) {
    obey(world, command)
    if (tasks === Infinity) world.settle()
    else world.step(tasks)
  }
  if (ending === "calm") {
    world.finishAll()
    world.servesMaxoverflow()
    world.comesToRest()
  }
  world.closes()
  return world
}

/** What `maxwait` without `acquireTimeout` once meant. */
const failing = { whenFull: "fail", acquireTimeout: 30_000 } as const
const base: WorldOptions = { ...calm, maxsize: 1, maxoverflow: 1, cleanupTimeout: 120, closeTimeout: 300 }
const well: ConnectPlan = { end: "ok", delay: 0, uninterruptible: false, closeDelay: 0, closeDies: false }
const take = { do: "take", by: "use", hold: undefined, fails: false } as const
const join = { do: "take", by: "sharing", hold: undefined, again: 0 } as const
const advance = (millis: number): Command => ({ do: "advance", millis })
const resize = (maxsize: number, more: number) => ({ do: "resize", maxsize, more, isInterrupted: false }) as const
/** A fiber that yields at each of its first operations. */
const operations = Array.from({ length: 40 }, (_, operation) => operation)

/** Counterexamples that were found once. */
const found: { readonly [whatWasWrong: string]: ReadonlyArray<Schedule> } = {
  "an interrupted resize changed the limits, but not the permits": operations.map((yieldAfter) => ({
    options: { ...base, yieldAfter },
    commands: [[{ ...resize(1, 3), isInterrupted: true }, Infinity]],
    ending: "calm"
  })),
  "between the new limits and the new permits of a resize a connect found no permit": operations.map((yieldAfter) => ({
    options: { ...base, maxwait: 0, yieldAfter },
    commands: [[take, Infinity], [take, Infinity], [resize(1, 3), 0], [take, Infinity]],
    ending: "calm"
  })),
  "when connectRetry ended with a timeout, the callers died of a defect": [{
    options: { ...base, connectTimeout: 400, retries: 0, connects: [{ ...well, delay: 1203 }] },
    commands: [[take, 0], [advance(1), 0]],
    ending: "calm"
  }],
  "with maxwait 0 a caller whose candidate was checked was refused at once": [{
    options: { ...base, ...failing, maxwait: 0, canCheck: true, warm: 1 },
    commands: [[advance(4000), Infinity], [{ ...take, hold: 20 }, Infinity]],
    ending: "calm"
  }],
  "an outage that was over shortened the wait of a caller whose connect was under way": [{
    options: {
      ...base,
      maxoverflow: 2,
      ...failing,
      outageTimeout: 600,
      connects: [{ ...well, end: "transient" }, well, { ...well, delay: 2503 }]
    },
    commands: [[take, Infinity], [take, 0], [advance(4000), Infinity]],
    ending: "calm"
  }],
  "when a connection was closed after its reset, nobody looked at the demand that had counted on it": [{
    options: {
      ...base,
      reset: "always",
      connects: [{ ...well, closeDelay: 31 }],
      resets: [{ end: "ok", delay: 33, uninterruptible: false }]
    },
    commands: [
      [take, Infinity],
      [{ do: "finish", caller: 0 }, Infinity],
      [advance(1), Infinity],
      [resize(4, 0), Infinity],
      [take, Infinity],
      [{ do: "invalidate", conn: 0 }, Infinity],
      [advance(50), Infinity]
    ],
    ending: "calm"
  }],
  "a waiter that was refused used up the connect that was under way for the next one": [{
    options: {
      ...base,
      ...failing,
      connectTimeout: 1500,
      outageTimeout: 600,
      connects: [{ ...well, end: "never" }, { ...well, end: "never" }, { ...well, delay: 2503 }]
    },
    commands: [
      [resize(1, 1), Infinity],
      [take, Infinity],
      [take, Infinity],
      [advance(333), Infinity],
      [resize(1, 0), Infinity],
      [{ do: "interrupt", caller: 0 }, Infinity],
      [take, Infinity],
      [advance(4000), Infinity]
    ],
    ending: "calm"
  }],
  "an outage that was over had those refused who waited when connectRetry came to its end": [{
    options: {
      ...base,
      maxoverflow: 3,
      maxUses: 1,
      retries: 0,
      connects: [{ ...well, closeDelay: 31 }, well, { ...well, end: "transient" }]
    },
    commands: [
      [take, Infinity],
      [{ do: "interrupt", caller: 0 }, Infinity],
      [take, Infinity],
      [take, Infinity],
      [take, Infinity],
      [advance(4000), Infinity]
    ],
    ending: "calm"
  }],
  "a connect for warm that had hung was made up for when the pool had long come to rest": [{
    options: { ...base, maxUses: 2, warm: 1, connects: [{ ...well, end: "never" }] },
    commands: [[resize(1, 3), Infinity], [take, Infinity], [take, Infinity], [take, Infinity]],
    ending: "calm"
  }],
  "when connectRetry had come to its end, a connection idled on after it had expired, for its successor failed later": [
    {
      options: {
        ...base,
        expires: 900,
        minsize: 1,
        acquireTimeout: 700,
        retries: 0,
        connects: [
          { ...well, delay: 2503 },
          { ...well, uninterruptible: true },
          well,
          { ...well, closeDelay: 31 },
          well,
          { ...well, delay: 1203, closeDelay: 31 },
          { ...well, end: "permanent", delay: 2503 },
          { ...well, end: "error", uninterruptible: true, closeDelay: 31 },
          { ...well, end: "error", delay: 1203, uninterruptible: true, closeDelay: 31 }
        ]
      },
      commands: [
        [resize(4, 0), 0],
        [take, 0],
        [take, Infinity],
        [{ do: "finish", caller: 0 }, Infinity],
        [{ do: "interrupt", caller: 0 }, 0],
        [advance(333), 0],
        [advance(4000), Infinity],
        [take, 0],
        [take, Infinity],
        [take, Infinity],
        [{ do: "evict", over: 3000 }, Infinity],
        [advance(4000), Infinity]
      ],
      ending: "calm"
    }
  ],
  "an idle connection that had become suspect by a slow reset of another was thought to need no check": [{
    options: {
      ...base,
      maxoverflow: 4,
      acquireTimeout: 700,
      validateAfterIdle: 300,
      canCheck: true,
      reset: "odd",
      checks: [{ end: "never", delay: 0, uninterruptible: true }],
      resets: [{ end: "ok", delay: 333, uninterruptible: false }]
    },
    commands: [
      [take, Infinity],
      [{ ...take, hold: 500, fails: true }, Infinity],
      [{ ...take, hold: 500 }, Infinity],
      [advance(1000), 0],
      [{ do: "interrupt", caller: 0 }, Infinity],
      [take, Infinity]
    ],
    ending: "calm"
  }],
  "one that was evicted came back beside an idle one, and lingered on without a successor": [{
    options: {
      ...base,
      isAuto: true,
      acquireTimeout: 700,
      maxWaiting: 1,
      warm: 1,
      connects: [{ ...well, delay: 1203 }, { ...well, delay: 1203 }]
    },
    commands: [
      [take, Infinity],
      [take, Infinity],
      [resize(1, 3), 0],
      [advance(1000), 0],
      [take, 0],
      [{ do: "evict", over: 250 }, Infinity],
      [advance(1000), 0]
    ],
    ending: "calm"
  }],
  "the newer one that stood by for one that is shared was not kept, and was opened again at once, for ever": [{
    options: { ...base, share: 2, maxoverflow: 4, maxwait: 200, warm: 1 },
    commands: [
      [{ ...join, again: 1 }, Infinity],
      [join, Infinity],
      [join, Infinity],
      [advance(4000), Infinity],
      [{ do: "evict", over: 0 }, Infinity]
    ],
    ending: "calm"
  }],
  "after a shrink the room that an evicted one had made was waited for in vain": [{
    options: { ...base, share: 2, maxwait: 200, warm: 1 },
    commands: [[resize(4, 0), Infinity], [take, Infinity], [join, Infinity], [resize(1, 0), Infinity], [
      { do: "evict", over: 0 },
      0
    ]],
    ending: "calm"
  }]
}

/** `POOL_SEED` and `POOL_RUNS` choose other schedules, and more; a failure prints its seed. */
const seed = Number(process.env["POOL_SEED"] ?? 20_261_122)
const numRuns = Number(process.env["POOL_RUNS"] ?? 1500)

describe("ElasticPool: schedules that went wrong once", () => {
  for (const [whatWasWrong, schedules] of Object.entries(found)) {
    it(whatWasWrong, () => schedules.forEach((schedule) => run(schedule)))
  }
})

describe("ElasticPool: random schedules", () => {
  for (const [who, schedules] of Object.entries({ "have a resource each": alone, "share resources": sharing })) {
    it(
      `I1: the invariants to I8 hold at every step of ${numRuns} schedules whose borrowers ${who}`,
      { timeout: 600_000 },
      async () => {
        const seen = { served: 0, refused: 0, interrupted: 0, dialled: 0 }
        await fc.assert(
          fc.asyncProperty(schedules, async (schedule) => {
            const { callers, conns } = run(schedule)
            seen.dialled += conns.length
            for (const { exit, failure, interrupted } of callers) {
              if (exit?._tag === "Success") seen.served++
              else if (interrupted) seen.interrupted++
              else if (failure !== "body") seen.refused++
            }
            // A slow machine takes minutes for all, and the runner must hear of this process meanwhile.
            await setImmediate()
          }),
          { seed, numRuns }
        )
        // The schedules are worth something.
        for (const n of Object.values(seen)) expect(n).toBeGreaterThan(numRuns)
      }
    )
  }
})
