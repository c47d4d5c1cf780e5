/** The three ways to wait, on a real server: near, behind PgBouncer, with TLS, with shared connections, and far away. */
import { Reactivity } from "@effect/experimental"
import { Console, Effect, Exit, Redacted, Schedule } from "effect"
import type { Scope } from "effect"
import { PgPool } from "effect-pgpool"
import * as Proxy from "../../src/internal/testing/proxy.js"
import * as PgBouncer from "../../test/support/pgbouncer.js"
import { startWithTls } from "../../test/support/sockets.js"
import type { Send } from "../day/contenders.js"
import { play } from "../day/play.js"
import { sleepTime } from "../day/server.js"
import type { Section } from "../report.js"
import { table } from "../report.js"
import type { Load } from "../simulate/load.js"
import { arrivals, constant, inCycles } from "../simulate/load.js"
import type { Times } from "../times.js"
import { timesOf } from "../times.js"
import { excess, waits } from "./rule.js"

interface Place {
  readonly name: string
  readonly url: string
  readonly options?: PgPool.PgPoolOptions
}

/** How long each statement holds its connection, in milliseconds: so long that two processors can serve all of them. */
const statement = 20

/** Below what two connections serve, then more than they serve, then a burst, again and again. */
const phasesOf = (seconds: number): Load["phases"] => inCycles(seconds, 4, [[2, 40], [1.2, 110], [0.2, 350], [0.6, 10]])

interface Played {
  readonly waits: Times
  readonly mean: number
  readonly peak: number
  readonly connects: number
  readonly failures: number
}

/** Waits are what each request took beyond a statement that had its connection at once. */
const contend = (
  place: Place,
  maxwait: number | "auto",
  plan: ReadonlyArray<number>,
  alone: number
): Effect.Effect<Played, unknown> =>
  Effect.gen(function*() {
    const pool = yield* PgPool.make({
      maxsize: 2,
      maxoverflow: 20,
      acquireTimeout: "30 seconds",
      ...place.options,
      url: Redacted.make(place.url),
      maxwait
    })
    const sizes: Array<number> = []
    yield* Effect.forkScoped(Effect.repeat(
      Effect.map(pool.stats, ({ size }) => sizes.push(size)),
      Schedule.fixed("20 millis")
    ))
    const times: Array<number> = []
    const send: Send = (done) => {
      const begin = performance.now()
      Effect.runFork(pool.client.unsafe(`select pg_sleep(${statement / 1000})`)).addObserver((exit) => {
        if (Exit.isSuccess(exit)) times.push(Math.max(0, performance.now() - begin - alone))
        done(Exit.isFailure(exit) ? exit.cause : undefined)
      })
    }
    const { failures } = yield* play(send, plan)
    const { opened } = yield* pool.stats
    return {
      waits: timesOf(times),
      mean: sizes.reduce((sum, size) => sum + size, 0) / sizes.length,
      peak: Math.max(...sizes),
      connects: opened,
      failures
    }
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const places = (url: string): Effect.Effect<ReadonlyArray<Place>, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const tls = yield* startWithTls()
    const far = yield* Proxy.start(Redacted.make(url))
    far.connectDelay = 100
    const bouncer = PgBouncer.isInstalled
      ? [yield* PgBouncer.start({ server: Redacted.make(url), mode: "transaction" })]
      : []
    if (bouncer.length === 0) yield* Console.error("Without PgBouncer: it is not installed")
    return [
      { name: "direct", url },
      ...bouncer.map(({ url }) => ({ name: "behind PgBouncer", url: Redacted.value(url) })),
      { name: "with TLS", url: tls.url, options: { ssl: { rejectUnauthorized: false } } },
      { name: "with `multiplex: 4`", url, options: { multiplex: 4 } },
      { name: "connects 100 ms longer", url: Redacted.value(far.url) }
    ]
  })

const columns = [
  "",
  "mean wait ms",
  "p50",
  "p99",
  "connections",
  "peak",
  "connects a second",
  "failures",
  "beside the better"
]

export const real = (
  { seconds, url }: { readonly seconds: number; readonly url: string }
): Effect.Effect<Section, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const plan = Array.from(arrivals({ phases: phasesOf(seconds), service: constant(0) }, 1), ({ at }) => at)
    const rows: Array<ReadonlyArray<string>> = []
    for (const place of yield* places(url)) {
      yield* Console.error(`Loads, ${place.name}`)
      // To compile the code, in the same process.
      yield* contend(place, 0, plan.slice(0, 200), 0)
      const alone = yield* sleepTime(url, statement)
      const { auto, fixed, none } = yield* Effect.all({
        auto: contend(place, waits.auto, plan, alone),
        fixed: contend(place, waits.fixed, plan, alone),
        none: contend(place, waits.none, plan, alone)
      })
      const best = (key: "mean" | "p99") => (auto.waits[key] / Math.min(fixed.waits[key], none.waits[key])).toFixed(2)
      for (const [name, { connects, failures, mean, peak, waits }] of Object.entries({ auto, "200 ms": fixed, none })) {
        rows.push([
          `${place.name}: ${name}`,
          ...[waits.mean, waits.p50, waits.p99, mean].map((figure) => figure.toFixed(1)),
          String(peak),
          (connects / (plan[plan.length - 1] / 1000)).toFixed(1),
          String(failures),
          name !== "auto"
            ? ""
            : `mean ${best("mean")}, p99 ${best("p99")}${
              excess(auto.waits, fixed.waits, none.waits) > 1 ? " **worse**" : ""
            }`
        ])
      }
    }
    return {
      title: `Three ways to wait at maxsize, on a real server`,
      command: `npm run bench -- loads --load-seconds ${seconds}`,
      markdown: [
        table(columns, rows),
        `A pool of 2/20, and ${
          plan.length.toLocaleString("en")
        } statements of ${statement} ms, in turn in one process: ` +
        "over and over 2 s with 40 a second, 1.2 s with 110, 0.2 s with 350 and 0.6 s with 10. Waits are what a request took " +
        "beyond a statement alone, and so also have what the processors and the server make others wait for."
      ].join("\n\n")
    }
  })
