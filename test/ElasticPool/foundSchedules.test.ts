import { describe, it } from "vitest"
import type { WorldOptions } from "../support/world/plans.js"
import { calm, well } from "../support/world/plans.js"
import type { Command, Schedule } from "../support/world/schedules.js"
import { run } from "../support/world/schedules.js"

/** What `maxwait` without `acquireTimeout` once meant. */
const failing = { whenFull: "fail", acquireTimeout: 30_000 } as const
const base: WorldOptions = { ...calm, maxsize: 1, maxoverflow: 1, cleanupTimeout: 120, closeTimeout: 300 }
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

describe("I2, I6 and I8: schedules that went wrong once", () => {
  for (const [whatWasWrong, schedules] of Object.entries(found)) {
    it(whatWasWrong, () => schedules.forEach((schedule) => run(schedule)))
  }
})
