/** What happens to all connections of a pool at the same time. */
import { Effect, Exit, Fiber, Random, Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import { setImmediate } from "node:timers/promises"
import { HeldClock } from "./heldClock.js"

interface Item {
  readonly id: number
}

export interface Fleet {
  readonly pool: ElasticPool.ElasticPool<Item, never>
  readonly clock: HeldClock
  /** All that were opened, and how many were closed. */
  readonly opened: ReadonlyArray<Item>
  readonly closed: () => number
  readonly close: Effect.Effect<void>
}

/** A pool that may have so many connections, and somewhat more. */
const emptyFleet = (size: number, minsize: number): Effect.Effect<Fleet> =>
  Effect.gen(function*() {
    const clock = new HeldClock()
    const scope = yield* Scope.make()
    const opened: Array<Item> = []
    let closed = 0
    const acquire = Effect.acquireRelease(
      Effect.sync((): Item => {
        const item = { id: opened.length }
        opened.push(item)
        return item
      }),
      () => Effect.sync(() => void closed++)
    )
    const pool = yield* ElasticPool.make({
      acquire,
      check: () => Effect.void,
      maxsize: size,
      minsize,
      maxwait: "auto",
      maxoverflow: size + 10
    }).pipe(Effect.withClock(clock), Effect.withRandom(Random.make("a fleet")), Scope.extend(scope))
    return { pool, clock, opened, closed: () => closed, close: Scope.close(scope, Exit.void) }
  })

/** So many callers at the same time, each with a connection of its own. */
const takeAll = ({ pool }: Fleet, size: number): Effect.Effect<void> =>
  Effect.scoped(
    Effect.forEach(Array.from({ length: size }), () => Effect.orDie(pool.get), {
      concurrency: "unbounded",
      discard: true
    })
  )

/** A pool with so many idle connections. */
const idleFleet = (size: number, minsize = size): Effect.Effect<Fleet> =>
  Effect.tap(emptyFleet(size, minsize), (fleet) => takeAll(fleet, size))

const allClosed = ({ closed }: Fleet, size: number): Effect.Effect<void> =>
  Effect.promise(async () => {
    while (closed() < size) await setImmediate()
  })

export interface Event {
  readonly before: (size: number) => Effect.Effect<Fleet>
  /** Ends when it has happened to all of them. */
  readonly happens: (fleet: Fleet, size: number) => Effect.Effect<void>
}

const happening = (happens: Event["happens"]): Event => ({ before: (size) => idleFleet(size), happens })

const one = ({ pool }: Fleet): Effect.Effect<void> => Effect.orDie(pool.use(() => Effect.void))

const pass = ({ clock }: Fleet, millis: number) => Effect.sync(() => clock.pass(millis))

const minute = 60_000

export const events = {
  opened: { before: (size) => emptyFleet(size, size), happens: takeAll },
  checked: happening((fleet, size) => Effect.zipRight(pass(fleet, minute), takeAll(fleet, size))),
  renewed: happening((fleet, size) => Effect.zipRight(pass(fleet, 9.77 * minute), allClosed(fleet, size))),
  // Jitter has made them due one after the other.
  expired: {
    before: (size) => Effect.tap(idleFleet(size, 0), (fleet) => pass(fleet, 9.7 * minute)),
    happens: (fleet, size) =>
      Effect.promise(async () => {
        while (fleet.closed() < size) {
          fleet.clock.pass(1)
          await setImmediate()
        }
      })
  },
  lost: happening((fleet, size) =>
    Effect.zipRight(
      Effect.forEach(fleet.opened.slice(), (item) => fleet.pool.invalidate(item), { discard: true }),
      allClosed(fleet, size)
    )
  ),
  evicted: happening((fleet, size) => Effect.zipRight(fleet.pool.evict(), allClosed(fleet, size))),
  "evicted at once": happening((fleet, size) =>
    Effect.zipRight(fleet.pool.evict({ now: true }), allClosed(fleet, size))
  ),
  closed: happening(({ close }) => close)
} satisfies Record<string, Event>

/** What one caller does, beside so many connections. */
export const requests = {
  "takes one that is idle": happening(one),
  "has one checked": { before: (size) => Effect.tap(idleFleet(size), (fleet) => pass(fleet, minute)), happens: one },
  "waits for one": {
    before: (size) =>
      Effect.gen(function*() {
        const fleet = yield* idleFleet(size)
        const held = yield* Scope.make()
        const take = Effect.replicateEffect(fleet.pool.get, size + 10, { concurrency: "unbounded", discard: true })
        yield* Effect.fork(Scope.extend(Effect.orDie(take), held))
        // Beyond `size` they wait for a moment first.
        while ((yield* fleet.pool.stats).busy < size + 10) yield* Effect.zipRight(pass(fleet, 1), Effect.yieldNow())
        return { ...fleet, close: Effect.zipRight(Scope.close(held, Exit.void), fleet.close) }
      }),
    happens: ({ pool }) =>
      Effect.gen(function*() {
        const waiter = yield* Effect.fork(pool.use(() => Effect.void))
        while ((yield* pool.stats).waiting === 0) yield* Effect.yieldNow()
        yield* Fiber.interrupt(waiter)
      })
  }
} satisfies Record<string, Event>
