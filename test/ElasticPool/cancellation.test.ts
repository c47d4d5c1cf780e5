/**
 * R12: interruption is safe at every point. Every kind of connect is crossed with every point at which a caller can be
 * interrupted and with what happens to the pool at that instant. `PoolWorld` checks I1 to I8 after each task.
 */
import { Exit } from "effect"
import { describe, expect, it } from "vitest"
import { PoolWorld } from "../support/poolWorld.js"
import type { Caller } from "../support/world/people.js"
import type { ConnectPlan, WorldOptions } from "../support/world/plans.js"
import { calm } from "../support/world/plans.js"

const connects = {
  ok: { end: "ok", delay: 0 },
  error: { end: "error", delay: 10 },
  slow: { end: "ok", delay: 300 },
  never: { end: "never", delay: 0 }
} as const

type Connect = keyof typeof connects

const points = {
  "while queued": whileQueued,
  "while its connect is under way": whileOpening,
  "while its candidate is checked": whileChecked,
  "at hand-over, before it resumed": atHandOver,
  "in use": inUse,
  "in release": inRelease
}

type Point = keyof typeof points

const fates = {
  "stays open": () => {},
  // Shrinks at that instant, and grows later.
  "is resized": (world: PoolWorld) => void world.resize(1, 1),
  "closes": (world: PoolWorld) => world.close()
}

type Fate = keyof typeof fates

const options = (connect: Connect): WorldOptions => {
  const plan: ConnectPlan = { uninterruptible: false, closeDelay: 20, closeDies: false, ...connects[connect] }
  return {
    ...calm,
    maxsize: 2,
    maxoverflow: 3,
    maxwait: 50,
    validateAfterIdle: 100,
    canCheck: true,
    reset: "always",
    connects: Array.from({ length: 50 }, () => plan),
    checks: Array.from({ length: 50 }, () => ({ end: "ok", delay: 40, uninterruptible: false })),
    resets: Array.from({ length: 50 }, () => ({ end: "ok", delay: 30, uninterruptible: false }))
  }
}

/** Each brings a new pool to the point, and gives the caller to interrupt. */
type Situation = readonly [world: PoolWorld, caller: Caller]

/** All permits are taken: by holders, or by connects under way. */
function* whileQueued(connect: Connect): Iterable<Situation> {
  const world = new PoolWorld({ ...options(connect), maxwait: 0 })
  for (let i = 0; i < world.options.maxoverflow; i++) world.take()
  if (connect === "ok") world.advance(400)
  const caller = world.take()
  world.settle()
  expect(caller.state).toBe("waiting")
  expect(world.stats).toMatchObject({ size: 3, [connect === "ok" ? "busy" : "opening"]: 3 })
  yield [world, caller]
}

/** After each number of tasks for which the connect is under way. */
function* whileOpening(connect: Connect): Iterable<Situation> {
  for (let tasks = 0;; tasks++) {
    const world = new PoolWorld(options(connect))
    const caller = world.take()
    world.step(tasks)
    if (caller.state !== "waiting" || world.stats.opening === 0) break
    const isQuiet = world.sim.isQuiet
    yield [world, caller]
    if (isQuiet) break
  }
}

function* whileChecked(connect: Connect): Iterable<Situation> {
  for (const millis of [0, 20]) {
    const world = new PoolWorld(options(connect))
    world.take({ by: "use", hold: 0 })
    world.advance(1000)
    const caller = world.take()
    world.advance(millis)
    expect(world.stats.checking).toBe(1)
    yield [world, caller]
  }
}

/** Handed a new connection, one that another gave back, and one that was checked. */
function* atHandOver(connect: Connect): Iterable<Situation> {
  const untilHandedOver = (world: PoolWorld) => {
    for (let i = 0; world.stats.waiting > 0 && i < 10_000; i++) {
      if (world.sim.isQuiet) world.sim.skip()
      else world.step(1)
    }
  }
  for (const kind of ["new", "returned", "checked"]) {
    const world = new PoolWorld({ ...options(connect), ...(kind === "returned" ? { maxsize: 1, maxwait: 1000 } : {}) })
    if (kind !== "new") {
      const first = world.take()
      world.advance(400)
      if (kind === "checked") {
        world.finish(first)
        world.advance(1000)
      }
      const caller = world.take()
      world.settle()
      world.finish(first)
      untilHandedOver(world)
      expect([kind, caller.state, world.stats.busy]).toEqual([kind, "waiting", 1])
      yield [world, caller]
    } else {
      const caller = world.take()
      untilHandedOver(world)
      expect([kind, caller.state, world.stats.busy]).toEqual([kind, "waiting", 1])
      yield [world, caller]
    }
  }
}

function* inUse(connect: Connect): Iterable<Situation> {
  for (const by of ["use", "get"] as const) {
    const world = new PoolWorld(options(connect))
    const caller = world.take({ by })
    world.advance(400)
    expect(caller.state).toBe("holding")
    yield [world, caller]
  }
}

/** At each operation of the release, and while the reset that follows is under way. */
function* inRelease(connect: Connect): Iterable<Situation> {
  for (const by of ["use", "get"] as const) {
    let isReached = false
    for (let operation = 0;; operation++) {
      const world = new PoolWorld(options(connect))
      const caller = world.take({ by })
      world.advance(400)
      world.sim.yielding.set(caller.fiber!, operation)
      world.finish(caller)
      world.step(1)
      if (caller.state === "done") break
      // Its use is over, but the pool does not know it yet.
      isReached ||= world.stats.busy === 1 && world.conns[0].holder === undefined
      yield [world, caller]
    }
    expect(isReached).toBe(true)
  }
  for (const millis of [0, 10]) {
    const world = new PoolWorld(options(connect))
    const caller = world.take({ by: "get", linger: 500 })
    world.advance(400)
    world.finish(caller)
    world.advance(millis)
    expect([caller.state, world.stats.checking]).toEqual(["lingering", 1])
    yield [world, caller]
  }
}

/** Nothing was ever opened, so there is nothing to check, to hand over, to use or to release. */
const cannotOccur = (connect: Connect, point: Point): boolean =>
  (connect === "error" || connect === "never") && point !== "while queued" && point !== "while its connect is under way"

/** Many callers try for long: none ever gets to that point. */
function* never(connect: Connect): Iterable<Situation> {
  const world = new PoolWorld(options(connect))
  for (let i = 0; i < 40; i++) {
    world.take({ by: i % 2 === 0 ? "use" : "get" })
    world.step(i)
    expect(world.stats).toMatchObject({ acquired: 0, opened: 0, busy: 0, idle: 0, checking: 0 })
    world.advance(250)
  }
  expect(world.callers.filter(({ failure }) => failure !== undefined).length).toBeGreaterThan(10)
  const caller = world.take()
  expect(world.stats).toMatchObject({ acquired: 0, opened: 0, busy: 0, idle: 0, checking: 0 })
  yield [world, caller]
}

const cancel = (world: PoolWorld, caller: Caller, fate: Fate, order: "interrupt first" | "fate first"): void => {
  const wasServed = caller.state !== "waiting"
  if (order === "fate first") fates[fate](world)
  world.interrupt(caller)
  if (order === "interrupt first") fates[fate](world)
  // At once: no time passes.
  world.settle()
  if (caller.state === "lingering") world.advance(500)
  expect(caller.state).toBe("done")
  if (!wasServed && fate !== "closes") expect(Exit.isInterrupted(caller.exit!)).toBe(true)
  expect(world.conns.filter(({ holder }) => holder === caller)).toEqual([])
  if (fate === "is resized") {
    world.advance(70)
    world.resize(3, 5)
  }
  if (fate !== "closes") {
    // R6: the caller's interrupt aborted no connect, and nothing is lost.
    const { opened } = world.stats
    const slow = world.conns.filter(({ phase, plan }) => phase === "connecting" && plan.end === "ok").length
    world.advance(1000)
    expect(world.stats.opened).toBeGreaterThanOrEqual(opened + slow)
    world.calmsDown()
  }
  world.closes()
}

const combinations = (Object.keys(connects) as Array<Connect>).flatMap((connect) =>
  (Object.keys(points) as Array<Point>).flatMap((point) =>
    (Object.keys(fates) as Array<Fate>).map((fate) => ({ connect, point, fate }))
  )
)

describe("R12: the cancellation matrix (I1 to I8 hold)", () => {
  it("has 72 combinations", () => expect(combinations.length).toBe(72))

  for (const { connect, fate, point } of combinations) {
    const impossible = cannotOccur(connect, point)
    const title = `connect ${connect}, interrupted ${point}, the pool ${fate}`
    it(impossible ? `${title}: can't occur` : title, () => {
      let situations = 0
      for (const order of ["interrupt first", "fate first"] as const) {
        for (const [world, caller] of impossible ? never(connect) : points[point](connect)) {
          cancel(world, caller, fate, order)
          situations++
        }
      }
      expect(situations).toBeGreaterThanOrEqual(2)
    })
  }
})
