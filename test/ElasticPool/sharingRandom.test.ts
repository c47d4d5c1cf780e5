import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck as fc, Scope } from "effect"
import type { Slot } from "../../src/internal/pool/slot.js"
import { areAll } from "../support/areAll.js"
import type { Borrower, State } from "../support/borrower.js"
import { make, settle, times } from "../support/borrower.js"
import type { Fake } from "../support/fakeResource.js"

// --- random schedules ----------------------------------------------------------------------------------------------

type Command =
  | { readonly do: "ask"; readonly shares: boolean }
  | { readonly do: "leave"; readonly who: number }
  | { readonly do: "invalidate"; readonly who: number }
  | { readonly do: "settle" }

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("ask" as const), shares: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("leave" as const), who: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("invalidate" as const), who: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("settle" as const) }) }
)

const plan = fc.record({
  share: fc.integer({ min: 2, max: 4 }),
  maxsize: fc.integer({ min: 1, max: 3 }),
  more: fc.integer({ min: 0, max: 2 }),
  commands: fc.array(command, { maxLength: 80 })
})

/** What must hold at every instant. */
const verify = (state: State, borrowers: ReadonlyArray<Borrower>, share: number, maxoverflow: number): void => {
  const { idle, size, waiting } = state.stats()
  const bySlot = new Map<Slot<Fake>, Array<Borrower>>()
  for (const one of borrowers) {
    if (one.slot !== undefined) bySlot.set(one.slot, [...bySlot.get(one.slot) ?? [], one])
  }
  for (const together of bySlot.values()) {
    assert.isAtMost(
      together.length,
      together.every(({ shares }) => shares) ? share : 1,
      "borrowers of one connection"
    )
  }
  const waiters = borrowers.filter((one) => one.isWaiting)
  assert.strictEqual(waiting, waiters.length)
  assert.isAtMost(size, maxoverflow, "I1")
  if (waiters.length > 0) assert.strictEqual(idle, 0, "I2")
  // I3, among those of one kind.
  for (const shares of [true, false]) {
    const kind = borrowers.filter((one) => one.shares === shares)
    const firstWaiting = kind.findIndex((one) => one.isWaiting)
    if (firstWaiting >= 0) assert.isTrue(kind.slice(firstWaiting).every((one) => one.isWaiting), "I3")
  }
  // Nobody who shares waits while there is room, unless that is left to run dry for somebody who does not share.
  const alone = waiters.filter(({ shares }) => !shares).length
  const withRoom = [...bySlot].filter(([slot, together]) =>
    together[0].shares && together.length < share && !slot.invalid
  )
  if (waiters.length > alone) assert.isAtMost(withRoom.length, alone, "room while somebody waits")
  if (waiters[0]?.shares === true) assert.strictEqual(withRoom.length, 0, "room while the oldest waits")
}

describe("R34: borrowers who share, by chance", () => {
  it.scoped("random schedules: I1 to I4 hold, and every permit comes back (I8)", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(plan, ({ commands, maxsize, more, share }) =>
          Effect.runPromise(Effect.gen(function*() {
            const maxoverflow = maxsize + more
            const scope = yield* Scope.make()
            const { ask, fake, state } = yield* Scope.extend(make({ maxsize, maxoverflow, maxwait: 0, share }), scope)
            let borrowers: Array<Borrower> = []
            const leave = (who: Borrower) => {
              borrowers = borrowers.filter((other) => other !== who)
              who.leave()
            }
            for (const command of commands) {
              const who = command.do === "leave" || command.do === "invalidate"
                ? borrowers[command.who % Math.max(1, borrowers.length)]
                : undefined
              if (command.do === "ask") borrowers.push(ask(command.shares))
              else if (command.do === "settle") yield* settle
              else if (command.do === "leave" && who !== undefined) leave(who)
              else if (who?.slot !== undefined) state.invalidate(who.slot.value)
              verify(state, borrowers, share, maxoverflow)
            }
            yield* settle
            // In the order in which they are served all come to their turn.
            while (borrowers.length > 0) {
              const [served] = borrowers.filter((one) => !one.isWaiting)
              assert.isDefined(served, "somebody is always served")
              leave(served)
              yield* settle
              verify(state, borrowers, share, maxoverflow)
            }
            assert.isAtMost(state.stats().size, maxsize)
            const all = times(maxoverflow, () => ask(false))
            yield* settle
            assert.isTrue(areAll(all, (one) => one.slot !== undefined), "I8")
            for (const one of all) one.leave()
            yield* Scope.close(scope, Exit.void)
            assert.strictEqual(fake.live, 0)
          }))),
        { numRuns: 300 }
      )
    ))
})
