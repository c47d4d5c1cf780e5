/** Whether an operation costs more the more of them there are. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import type { Event } from "../test/support/fleet.js"
import { events } from "../test/support/fleet.js"
import * as Clients from "./clients.js"
import { fibers, generations } from "./crowd.js"
import type { Contender, Figure, Lap, Rounds } from "./measure.js"
import * as Measure from "./measure.js"
import { compare } from "./measure.js"
import * as Memory from "./memory.js"
import type { Section } from "./report.js"
import { atMost, figure, table } from "./report.js"

export interface Options extends Rounds {
  readonly url: string
  readonly quick: boolean
}

const sizesOf = (quick: boolean) =>
  quick
    ? { waiters: [10, 1000], items: [1, 100], fleet: [10, 100], sessions: [1, 10], statements: [1, 100] }
    : {
      waiters: [64, 1000, 10_000, 100_000],
      items: [1, 10, 100, 1000],
      fleet: [100, 1000, 10_000],
      sessions: [1, 10, 50],
      statements: [1, 10, 100, 1000, 10_000]
    }

type Sizes = ReadonlyArray<number>

/** One kind of operation at all sizes, in turn. */
interface Growing {
  readonly name: string
  readonly sizes: Sizes
  readonly at: (size: number) => Effect.Effect<Contender, unknown, Scope.Scope>
}

/** What was measured at one size. */
interface Grown extends Figure {
  readonly size: number
}

/** Several are compared with each other as well. */
const grow = (
  growing: ReadonlyArray<Growing>,
  rounds: Rounds
): Effect.Effect<ReadonlyArray<ReadonlyArray<Grown>>, unknown> =>
  Effect.gen(function*() {
    const contenders = yield* Effect.forEach(growing, ({ at, sizes }) => Effect.forEach(sizes, at))
    const title = `Growth: ${growing.map(({ name }) => name).join(" and ")}`
    const figures = yield* compare(title, contenders.flat(), rounds)
    let next = 0
    return growing.map(({ sizes }) => sizes.map((size) => ({ ...figures[next++], size })))
  }).pipe(Effect.scoped)

const columns = ["", "µs for one", "least", "most", "µs of CPU", "times the fewest"]

const rowsOf = (grown: ReadonlyArray<Grown>): ReadonlyArray<ReadonlyArray<string>> =>
  grown.map(({ cpu, rounds, size, wall }) => [
    size.toLocaleString("en"),
    ...[wall, Math.min(...rounds), Math.max(...rounds), cpu].map(figure),
    (wall / grown[0].wall).toFixed(2)
  ])

const command = "npm run bench -- growth"

const item = Effect.acquireRelease(Effect.sync(() => ({})), () => Effect.void)

const poolOf = (size: number) =>
  ElasticPool.make({
    acquire: item,
    maxsize: size,
    maxoverflow: size,
    connectConcurrency: size,
    acquireTimeout: "10 minutes"
  })

/** As many permits, and a queue of those who are suspended: no pool can do with less. */
const bareQueue = (permits: number): Effect.Effect<void> => {
  const queue: Array<() => void> = []
  // Not `shift`, whose cost grows with a long array.
  let first = 0
  let free = permits
  const take = Effect.async<void>((resume) => {
    if (free === 0) return void queue.push(() => resume(Effect.void))
    free--
    resume(Effect.void)
  })
  const giveBack = Effect.sync(() => {
    if (first === queue.length) return void free++
    queue[first++]()
    if (first < queue.length) return
    queue.length = 0
    first = 0
  })
  return Effect.zipRight(Effect.zipRight(take, Effect.yieldNow()), giveBack)
}

const waiters = (sizes: Sizes): Growing => ({
  name: "waiters",
  sizes,
  at: (size) => Effect.map(poolOf(10), (pool) => generations(String(size), size, pool.use(() => Effect.yieldNow())))
})

const bareWaiters = (sizes: Sizes): Growing => ({
  name: "waiters in a bare queue",
  sizes,
  at: (size) => Effect.sync(() => generations(String(size), size, bareQueue(10)))
})

const items = (sizes: Sizes): ReadonlyArray<Growing> => [
  {
    name: "idle items",
    sizes,
    at: (size) =>
      Effect.gen(function*() {
        const pool = yield* poolOf(size)
        yield* Effect.scoped(Effect.replicateEffect(pool.get, size, { discard: true }))
        const use = pool.use(() => Effect.void)
        return fibers(String(size), 1, () => use)
      })
  },
  {
    name: "busy items",
    sizes,
    at: (size) =>
      Effect.map(poolOf(size), (pool) => {
        const use = pool.use(() => Effect.yieldNow())
        return fibers(String(size), 2 * size, () => use)
      })
  }
]

/** Only the event itself is measured. */
const happening = ({ before, happens }: Event, size: number): Contender => ({
  name: String(size),
  unit: size,
  lap: (operations) =>
    Effect.reduce(Array.from({ length: operations / size }), { wall: 0, cpu: 0 }, (sum: Lap) =>
      Effect.gen(function*() {
        const fleet = yield* before(size)
        const { cpu, wall } = yield* Measure.timed(happens(fleet, size))
        yield* fleet.close
        return { wall: sum.wall + wall, cpu: sum.cpu + cpu }
      }))
})

/** How many times as much one connection of the most may cost as one of a hundred. Quadratic is a hundred times. */
const mostTimes = 3

const fleet = (sizes: Sizes, rounds: Rounds): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const grown = yield* Effect.forEach(Object.entries<Event>(events), ([name, event]) =>
      Effect.map(
        grow([{ name: `connections ${name}`, sizes, at: (size) => Effect.succeed(happening(event, size)) }], rounds),
        ([sizes]) => ({ name, sizes })
      ))
    const times = grown.map(({ sizes }) => sizes[sizes.length - 1].wall / sizes[0].wall)
    const most = sizes[sizes.length - 1].toLocaleString("en")
    return {
      title: "Growth: what happens to so many connections at the same time",
      command,
      markdown: table(
        ["µs for each", ...sizes.map((size) => size.toLocaleString("en")), "times the fewest"],
        grown.map(({ name, sizes }, i) => [name, ...sizes.map(({ wall }) => figure(wall)), times[i].toFixed(2)])
      ),
      goals: [
        atMost(
          `what happens to all connections, cost for each of ${most} by that of the fewest`,
          Math.max(...times),
          mostTimes
        )
      ]
    }
  })

const sessions = (sizes: Sizes, url: string): Growing => ({
  name: "connections",
  sizes,
  at: (size) => Effect.map(Clients.ours(String(size), url, size), (client) => client.asked("short", 64))
})

const statements = (sizes: Sizes, url: string): Growing => ({
  name: "statements in flight",
  sizes,
  at: (size) =>
    Effect.map(Clients.ours(String(size), url, 1, { multiplex: size }), (client) => client.asked("short", size))
})

const timed = (title: string, growing: Growing, rounds: Rounds): Effect.Effect<Section, unknown> =>
  Effect.map(grow([growing], rounds), ([grown]) => ({ title, command, markdown: table(columns, rowsOf(grown)) }))

const waiting = (sizes: Sizes, rounds: Rounds): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const [ours, bare] = yield* grow([waiters(sizes), bareWaiters(sizes)], rounds)
    const rows = rowsOf(ours).map((row, i) => [...row, figure(bare[i].wall), (bare[i].wall / bare[0].wall).toFixed(2)])
    const few = ours.find(({ size }) => size === 1000)
    const many = ours.find(({ size }) => size === 100_000)
    return {
      title: "Growth: fibers that each take one of 10 items once",
      command,
      markdown: table([...columns, "µs in a bare queue", "times the fewest"], rows),
      goals: few === undefined || many === undefined ? [] : [
        atMost("wait/hand-over, cost with 100,000 waiters by that with 1,000", many.wall / few.wall, 2)
      ]
    }
  })

/** What is weighed, and how many at least: of few, what the pool itself takes is the most. */
const weighed = [
  { kind: "waiters", title: "waiters, beyond a suspended fiber", least: 1000 },
  { kind: "items", title: "idle items, beyond the item", least: 100 },
  { kind: "sessions", title: "idle connections", least: 10 },
  { kind: "statements", title: "statements in flight, beyond a suspended fiber", least: 100 }
] as const

const memory = ({ quick, rounds, url }: Options): Effect.Effect<Section, unknown> =>
  Effect.gen(function*() {
    const sizes = sizesOf(quick)
    const asked = weighed.flatMap(({ kind, least, title }) =>
      sizes[kind].filter((count) => count >= least).map((count) => ({ kind, title, count }))
    )
    const answers = yield* Memory.measure(
      // More take long to weigh, and the figures hardly differ.
      asked.map(({ count, kind }) => ({ kind, count, url, rounds: count > 10_000 ? 1 : rounds }))
    )
    const weights = asked.map((asked, i) => {
      const { other, ours } = answers[i]
      return { ...asked, each: asked.kind === "sessions" ? ours : ours - other }
    })
    return {
      title: "Growth: memory",
      command,
      markdown: table(
        ["", "how many", "bytes for each"],
        weights.map(({ count, each, title }) => [title, count.toLocaleString("en"), figure(each)])
      ),
      goals: weights.filter(({ count, kind }) => kind === "waiters" && count === 100_000).map(({ each }) =>
        atMost("KB for each of 100,000 waiters, beyond a suspended fiber", each / 1024, 3)
      )
    }
  })

export const growth = (options: Options): Effect.Effect<ReadonlyArray<Section>, unknown> =>
  Effect.gen(function*() {
    const { quick, url } = options
    const sizes = sizesOf(quick)
    const [idle, busy] = items(sizes.items)
    return yield* Effect.all([
      waiting(sizes.waiters, options),
      timed("Growth: taking one of so many idle items", idle, options),
      timed("Growth: so many items in use, and as many fibers that wait", busy, options),
      // Each of the most is opened anew each time: more rounds would take longer than all the rest.
      fleet(sizes.fleet, { ...options, rounds: 1 }),
      timed("Growth: `select $1::int` by 64 fibers over so many connections", sessions(sizes.sessions, url), options),
      timed("Growth: so many statements in flight on one connection", statements(sizes.statements, url), options),
      memory(options)
    ])
  }).pipe(Effect.scoped)
