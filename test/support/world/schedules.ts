import { FastCheck as fc } from "effect"
import { PoolWorld } from "../poolWorld.js"
import type { Take } from "./people.js"
import type { ConnectPlan, WorkPlan, WorldOptions } from "./plans.js"

/** What happens, as plain data; an index is taken modulo the number of what there is. */
export type Command =
  | { readonly do: "take" } & Take
  | { readonly do: "interrupt"; readonly caller: number }
  | { readonly do: "finish"; readonly caller: number }
  | { readonly do: "invalidate" | "lose"; readonly conn: number }
  | { readonly do: "resize"; readonly maxsize: number; readonly more: number; readonly isInterrupted: boolean }
  | { readonly do: "evict"; readonly over: number }
  | { readonly do: "evictNow" }
  | { readonly do: "suspend" | "resume" | "drain"; readonly within?: number | undefined }
  | { readonly do: "advance"; readonly millis: number }

/** A command, and how many tasks run before the next one: with few, it comes in the midst of things. */
export type Step = readonly [Command, number]

export interface Schedule {
  readonly options: WorldOptions
  readonly commands: ReadonlyArray<Step>
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
          { arbitrary: pick("resume" as const, "suspend" as const), weight: 10 },
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

const step = (command: fc.Arbitrary<Command>): fc.Arbitrary<Step> =>
  fc.tuple(command, mostly(Infinity, 2, 0, 0, 1, 2, 3, 5, 8))

const schedule = (
  share: fc.Arbitrary<number>,
  ...steps: ReadonlyArray<fc.WeightedArbitrary<ReadonlyArray<Step>>>
): fc.Arbitrary<Schedule> =>
  fc.record({
    options: options(share),
    commands: fc.array(fc.oneof(...steps), { maxLength: 40, size: "max" }).map((steps) => steps.flat()),
    ending: pick("calm" as const, "abrupt" as const)
  })

const single = (takes: fc.Arbitrary<Command>): fc.Arbitrary<ReadonlyArray<Step>> => fc.tuple(step(command(takes)))

/** Several callers that share come together and stay, so that what follows happens while they share. */
const crowd: fc.Arbitrary<ReadonlyArray<Step>> = fc.tuple(
  fc.array(
    step(fc.record({
      do: fc.constant("take" as const),
      by: fc.constant("sharing" as const),
      hold: pick(undefined, 500, 5000),
      again: mostly(0, 5, 1)
    })),
    { minLength: 2, maxLength: 5 }
  ),
  pick(1, 7, 333, 1000)
).map(([takes, millis]) => [...takes, [{ do: "advance", millis }, Infinity]])

export const alone = schedule(fc.constant(1), { weight: 1, arbitrary: single(takeByFiber) })

export const sharing = schedule(
  pick(2, 3, 4),
  {
    weight: 9,
    arbitrary: single(
      fc.oneof({ weight: 3, arbitrary: takeByRequest }, { weight: 1, arbitrary: takeByFiber })
    )
  },
  { weight: 1, arbitrary: crowd }
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

export const run = ({ commands, ending, options }: Schedule): PoolWorld => {
  const world = new PoolWorld(options)
  for (const [command, tasks] of commands) {
    obey(world, command)
    if (tasks === Infinity) world.settle()
    else world.step(tasks)
  }
  if (ending === "calm") {
    world.calmsDown()
  }
  world.closes()
  return world
}
