/**
 * Many fibers that do everything at once that one can do with a client, and are interrupted at any moment. Afterwards
 * nothing may be lost, left behind or mixed up, and nobody may have been hit who was not interrupted (R12, R15, R16).
 */
import type { SqlError } from "@effect/sql/SqlError"
import type { Redacted } from "effect"
import { Effect, Fiber, Layer, Logger } from "effect"
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as Aftermath from "./storm/aftermath.js"
import type { Crowd, Turn } from "./storm/crowd.js"
import * as Crowds from "./storm/crowd.js"
import { Innocents } from "./storm/innocents.js"
import { drawMoment } from "./storm/moment.js"
import { repertoire } from "./storm/operations.js"
import type { Client, Subject } from "./storm/subject.js"
import { open } from "./storm/subject.js"
import { Witness } from "./storm/witness.js"

export type { Client } from "./storm/subject.js"

export interface Options {
  readonly url: Redacted.Redacted
  readonly seed: number
  /** Milliseconds. */
  readonly duration: number
  readonly fibers?: number | undefined
  readonly client?: Client | undefined
  /** Only the operations with this in their names. */
  readonly only?: string | undefined
  /** A session of the client's is killed each so many milliseconds. */
  readonly killEvery?: number | undefined
}

/** Milliseconds. */
export interface Latency {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface Report {
  readonly operations: number
  readonly statements: number
  readonly interrupts: number
  /** Transactions whose COMMIT was acknowledged. */
  readonly acknowledged: number
  /** All failures by kind, also those that had to come. */
  readonly failures: Readonly<Record<string, number>>
  readonly innocentFailures: number
  readonly stuck: number
  /** From an interrupt to the end of what was interrupted. */
  readonly latency: Latency
  readonly latencies: Readonly<Record<string, Latency>>
  /** How late timers were, whatever the pool did. */
  readonly eventLoop: Latency
  readonly usable: number
  /** Where these were counted: how many were asked, and how many others cut off meanwhile. */
  readonly innocents?: { readonly asked: number; readonly cutOff: number }
  /** What must not have been, and how often it was. Empty if all is well. */
  readonly faults: Readonly<Record<string, number>>
}

export const run = (options: Options): Effect.Effect<Report, SqlError> =>
  play(options, (subject) => {
    const all = repertoire(subject.stage).filter(([name]) => name.includes(options.only ?? ""))
    if (all.length === 0) throw new Error(`There is no operation with "${options.only}" in its name`)
    const end = performance.now() + options.duration
    return {
      isOver: () => performance.now() >= end,
      turn: (chance): Turn => {
        const [name, make] = chance.pick(all)
        const interruptAt = chance.is(0.4)
          ? undefined
          : chance.is(0.3)
          ? { beats: chance.integer(1, 100) }
          : drawMoment(chance, 20)
        return { name, make: (operation) => make(subject.stage, operation), interruptAt }
      }
    }
  })

/** Half of the statements are cut off, and at least `innocents` others are asked meanwhile. */
export const runInnocents = (
  options: Omit<Options, "duration"> & {
    readonly innocents: number
    /** Milliseconds after which it is over in any case. */
    readonly atMost: number
  }
): Effect.Effect<Report, SqlError> =>
  Effect.suspend(() => {
    let innocents: Innocents
    const end = performance.now() + options.atMost
    return Effect.map(
      play(options, ({ stage }) => {
        innocents = new Innocents(stage, options.innocents)
        return { isOver: () => innocents.isOver || performance.now() >= end, turn: innocents.turn }
      }),
      (report) => ({ ...report, innocents: { asked: innocents.asked, cutOff: innocents.cutOff } })
    )
  })

const play = (
  { client = "pool", fibers = 32, killEvery, seed, url }: Omit<Options, "duration">,
  plan: (subject: Subject) => Pick<Crowd, "isOver" | "turn">
): Effect.Effect<Report, SqlError> =>
  Effect.suspend(() => {
    const witness = new Witness()
    return Effect.gen(function*() {
      const subject = yield* open(client, url, witness)
      const { beats, stage: { ledger, pool } } = subject
      const delays = monitorEventLoopDelay({ resolution: 5 })
      delays.enable()
      const killer = yield* Effect.fork(killEvery === undefined ? Effect.void : kill(subject, killEvery))
      yield* Crowds.run({
        ...plan(subject),
        witness,
        beats,
        seed,
        fibers,
        look: () => pool === undefined ? undefined : Aftermath.checkStats(witness, Effect.runSync(pool.stats)),
        patience: client === "stock" ? 2000 : 10_000
      })
      yield* Fiber.interrupt(killer)
      delays.disable()
      const usable = yield* Aftermath.check(subject)
      yield* Aftermath.checkClose(subject)
      const { failures, faults, innocentFailures, interrupts, latencies, operations, statements, stuck } = witness
      return {
        operations,
        statements,
        interrupts,
        acknowledged: ledger.acknowledged,
        failures: Object.fromEntries(failures),
        innocentFailures,
        stuck,
        latency: summarise([...latencies.values()].flat()),
        latencies: Object.fromEntries([...latencies].map(([name, millis]) => [name, summarise(millis)])),
        eventLoop: {
          count: delays.count,
          p50: delays.percentile(50) / 1e6,
          p99: delays.percentile(99) / 1e6,
          max: delays.max / 1e6
        },
        usable,
        faults: Object.fromEntries(faults)
      }
    }).pipe(Effect.provide(noise(witness)), Effect.scoped)
  })

/** What is lost then is to be told as it is (R22), and nothing else may differ. */
const kill = ({ app, server, witness }: Subject, millis: number): Effect.Effect<never> => {
  for (const kind of ["57P01", "NotSent", "OutcomeUnknown", "CommitOutcomeUnknown"]) {
    witness.excused.add(kind)
  }
  const any = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY random() LIMIT 1"
  return Effect.forever(
    Effect.delay(server.query(`SELECT pg_terminate_backend(pid) FROM (${any}) victim`, [app]), millis)
  )
}

const summarise = (millis: Array<number>): Latency => {
  const sorted = [...millis].sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

/** What nobody who asks for an answer would ever hear of is a fault. */
const noise = (witness: Witness): Layer.Layer<never> =>
  Layer.merge(
    Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ message }) => {
        const text = String(message)
        // R22: nobody else would tell how a COMMIT has ended whose caller was interrupted.
        if (!text.includes("interrupted during COMMIT")) witness.fault(`logged: ${text}`)
      })
    ),
    Layer.scopedDiscard(Effect.forEach(["warning", "uncaughtException", "unhandledRejection"], (event) => {
      const listener = (error: unknown) =>
        witness.fault(`${event}: ${error instanceof Error ? error.message : String(error)}`)
      return Effect.acquireRelease(
        Effect.sync(() => process.on(event, listener)),
        () => Effect.sync(() => process.off(event, listener))
      )
    }))
  )
