import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Logger, Option, TestClock } from "effect"
import { fromState, makeState } from "../../src/internal/elasticPool.js"
import { Loan } from "../../src/internal/pool/loan.js"
import { PermitMissing } from "../../src/internal/pool/permits.js"
import type { State } from "../../src/internal/pool/slot.js"
import { Slot } from "../../src/internal/pool/slot.js"
import { Caller, FakeResource, settle } from "../support/fakeResource.js"

const states: ReadonlyArray<State> = ["opening", "idle", "busy", "checking", "closing"]

/** The drawing of a connection's life: what each state may become, and on which way a new connection gets there. */
const drawing: Record<State, { readonly way: ReadonlyArray<State>; readonly next: ReadonlyArray<State> }> = {
  opening: { way: [], next: ["idle", "busy", "closing"] },
  idle: { way: ["idle"], next: ["busy", "checking", "closing"] },
  busy: { way: ["busy"], next: ["idle", "busy", "checking", "closing"] },
  checking: { way: ["idle", "checking"], next: ["idle", "busy", "closing"] },
  closing: { way: ["closing"], next: [] }
}

const slotThatIs = (state: State): Slot<string> => {
  const slot = new Slot<string>(1, undefined, 800, 0, 0)
  for (const next of drawing[state].way) slot.enter(next)
  assert.strictEqual(slot.state, state)
  return slot
}

describe("I7: a connection changes its state only as its life allows", () => {
  for (const state of states) {
    for (const next of states) {
      if (drawing[state].next.includes(next)) {
        it(`I7: one that is ${state} can become ${next}`, () => {
          const slot = slotThatIs(state)
          slot.enter(next)
          assert.strictEqual(slot.state, next)
        })
      } else {
        it(`I7: one that is ${state} can't become ${next}: that throws, names both, and changes nothing`, () => {
          const slot = slotThatIs(state)
          assert.throws(() => slot.enter(next), `a connection that is ${state} can't become ${next}`)
          assert.strictEqual(slot.state, state)
        })
      }
    }
  }

  it("R7: it closes for the reason that was given, and else because its connect failed", () => {
    const used = slotThatIs("busy")
    used.enter("closing", "used")
    assert.strictEqual(used.closeReason, "used")
    const failed = slotThatIs("opening")
    failed.enter("closing")
    assert.strictEqual(failed.closeReason, "failed")
  })

  it("R5: a borrower shares it until it enters another state, and the first one says whether it does", () => {
    const slot = slotThatIs("busy")
    const lender = { begins: () => true, release: () => {} }
    const [sharer, sole] = [true, false].map((shares) => new Loan(lender, slot, 0, undefined, shares, undefined))
    slot.lent(sharer)
    slot.lent(sole)
    assert.deepInclude({ shared: slot.isShared, borrowers: slot.borrowers }, { shared: true, borrowers: 2 })
    slot.returned(sharer, 1)
    slot.returned(sole, 1)
    slot.enter("idle")
    assert.deepInclude({ shared: slot.isShared, borrowers: slot.borrowers }, { shared: false, borrowers: 0 })
  })
})

describe("I8: where the count of connections and the permits disagree", () => {
  const disagreeing = Effect.gen(function*() {
    const fake = new FakeResource()
    const state = yield* makeState({ ...fake.options, maxsize: 1, maxoverflow: 3, maxwait: "1 second" })
    const held = yield* Caller.ask(fromState(state))
    yield* Fiber.join(held.fiber)
    // Another one has taken what is free, and the pool knows nothing of it.
    yield* state["permits"]["overflow"].take(2)
    return { fake, held, pool: fromState(state) }
  })

  const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
    Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined

  it.scoped("I8: the pool dies of it, says so to the caller and in the log, and tries no other connect", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel.label} ${String(message)}`)
    })
    return Effect.gen(function*() {
      const { fake, held, pool } = yield* disagreeing
      const waiting = yield* Caller.ask(pool)
      yield* TestClock.adjust("1 second")
      const defect = defectOf(yield* Fiber.await(waiting.fiber))
      assert.instanceOf(defect, PermitMissing)
      assert.include((defect as Error).message, "it counts 2 connections of at most 3")
      assert.strictEqual(fake.dials, 1)
      yield* settle
      assert.lengthOf(lines.filter((line) => line.startsWith("ERROR") && line.includes("no permit is free")), 1)
      // A caller that comes later hears the same.
      assert.instanceOf(defectOf(yield* Effect.exit(pool.use(() => Effect.void))), PermitMissing)
      assert.deepInclude(yield* pool.stats, { state: "closing", busy: 1, size: 1, waiting: 0 })
      yield* held.release
      yield* settle
      assert.deepInclude(yield* pool.stats, { size: 0 })
      assert.strictEqual(fake.live, 0)
      assert.strictEqual(fake.dials, 1)
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("I8: all who wait hear of it", () =>
    Effect.gen(function*() {
      const { fake, held, pool } = yield* disagreeing
      const waiting = yield* Caller.askTimes(pool, 3)
      assert.deepInclude(yield* pool.stats, { waiting: 3 })
      yield* TestClock.adjust("1 second")
      for (const { fiber } of waiting) assert.instanceOf(defectOf(yield* Fiber.await(fiber)), PermitMissing)
      assert.deepInclude(yield* pool.stats, { waiting: 0 })
      assert.strictEqual(fake.dials, 1)
      yield* held.release
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))
})
