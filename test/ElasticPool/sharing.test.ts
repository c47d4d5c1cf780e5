import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck as fc, Scope, TestClock } from "effect"
import type { Shareable } from "../../src/internal/elasticPool.js"
import { makeState } from "../../src/internal/elasticPool.js"
import type { ElasticPoolState } from "../../src/internal/pool/pool.js"
import type { Slot } from "../../src/internal/pool/slot.js"
import type { Fake, FakeFailure } from "../support/fakeResource.js"
import { fail, FakeResource, ok, slow } from "../support/fakeResource.js"

type State = ElasticPoolState<Fake, FakeFailure>

/** One who asks for a connection, for itself or together with others. */
class Borrower {
  slot: Slot<Fake> | undefined = undefined
  failure: Exit.Exit<unknown, unknown> | undefined = undefined
  private readonly waiter: ReturnType<State["request"]>

  /** `onEnd`: what it does in the moment in which its wait ends. */
  constructor(private readonly state: State, readonly shares: boolean, onEnd = () => {}) {
    this.waiter = state.request(shares, (exit) => {
      if (Exit.isSuccess(exit)) this.slot = exit.value
      else this.failure = exit
      onEnd()
    })
  }

  get isWaiting(): boolean {
    return this.slot === undefined && this.failure === undefined
  }

  /** Gives back what it has, or ends its wait. */
  leave(): void {
    if (this.slot !== undefined) this.state.release(this.slot)
    else if (this.waiter !== undefined) this.state.leave(this.waiter)
  }
}

interface Options extends Partial<Shareable<Fake>> {
  readonly maxsize: number
  readonly maxoverflow?: number
  readonly maxwait?: number
  readonly maxUses?: number
  readonly maxWaiting?: number
  readonly whenFull?: "fail"
  readonly acquireTimeout?: number | undefined
}

const make = ({ canShare = () => true, share = 3, ...options }: Options, fake = new FakeResource()) =>
  Effect.map(
    makeState({ ...fake.options, expiresJitter: 0, closeTimeout: 0, acquireTimeout: "1 hour", ...options }, {
      share,
      canShare
    }),
    (state) => ({ state, fake, ask: (shares: boolean, onEnd?: () => void) => new Borrower(state, shares, onEnd) })
  )

/** Lets the pool's fibers go on until nothing is left to do but wait. */
const settle = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

const ids = (borrowers: ReadonlyArray<Borrower>): ReadonlyArray<number | undefined> =>
  borrowers.map(({ slot }) => slot?.value.id)

const times = <A>(n: number, f: () => A): Array<A> => Array.from({ length: n }, f)

describe("borrowers who share", () => {
  it.scoped("fill one connection before another is opened", () =>
    Effect.gen(function*() {
      const { ask, fake, state } = yield* make({ maxsize: 9, share: 3 })
      const first = times(3, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(first), [1, 1, 1])
      assert.strictEqual(fake.dials, 1)
      const more = times(2, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(more), [2, 2])
      assert.deepInclude(state.stats(), { size: 2, busy: 2, acquired: 5 })
    }))

  it.scoped("one connect is for as many as it has room for, also when they come before it is open", () =>
    Effect.gen(function*() {
      const { ask, fake } = yield* make({ maxsize: 9, share: 4 })
      const all = times(9, () => ask(true))
      yield* settle
      assert.strictEqual(fake.dials, 3)
      assert.isTrue(all.every((one) => !one.isWaiting))
    }))

  it.scoped("take the connection with the fewest borrowers", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 2, share: 3 })
      const [a, b, c, d] = times(4, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids([a, b, c, d]), [1, 1, 1, 2])
      const e = ask(true)
      assert.deepStrictEqual(ids([e]), [2])
      a.leave()
      b.leave()
      assert.deepStrictEqual(ids([ask(true)]), [1])
    }))

  it.scoped("are served in order as soon as there is room, on any connection", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, share: 2 })
      const [a, b] = times(2, () => ask(true))
      yield* settle
      const [c, d] = times(2, () => ask(true))
      assert.isTrue(c.isWaiting && d.isWaiting)
      a.leave()
      assert.isFalse(c.isWaiting)
      assert.isTrue(d.isWaiting)
      b.leave()
      assert.isFalse(d.isWaiting)
    }))

  it.scoped("never get one that somebody has for himself, nor he one that is shared", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, share: 9 })
      const alone = ask(false)
      yield* settle
      const [sharer, another] = [ask(true), ask(true)]
      const next = ask(false)
      assert.isTrue(sharer.isWaiting && next.isWaiting)
      alone.leave()
      assert.isFalse(sharer.isWaiting || another.isWaiting)
      assert.isTrue(next.isWaiting)
      sharer.leave()
      assert.isTrue(next.isWaiting)
      another.leave()
      assert.isFalse(next.isWaiting)
    }))

  it.scoped("don't starve who wants one for himself: it runs dry for him", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 2, maxoverflow: 2, share: 2 })
      const [a, b, c] = times(3, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids([a, b, c]), [1, 1, 2])
      const alone = ask(false)
      // The others go on, on the other connection.
      a.leave()
      const d = ask(true)
      assert.deepStrictEqual(ids([d]), [2])
      const e = ask(true)
      assert.isTrue(e.isWaiting)
      b.leave()
      assert.strictEqual(alone.slot?.value.id, 1)
      assert.isTrue(e.isWaiting)
      c.leave()
      assert.deepStrictEqual(ids([e]), [2])
    }))

  it.scoped("who gives up leaves room for the others", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, share: 2 })
      const [a, b] = times(2, () => ask(true))
      yield* settle
      const alone = ask(false)
      const c = ask(true)
      a.leave()
      assert.isTrue(c.isWaiting)
      alone.leave()
      assert.isFalse(c.isWaiting)
      const d = ask(true)
      b.leave()
      assert.isFalse(d.isWaiting)
    }))

  it.scoped("an overflow connection is opened after maxwait for those that find no room", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 1, maxoverflow: 2, maxwait: 0, share: 2 })
      const all = times(4, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(all), [1, 1, 2, 2])
      for (const one of all) one.leave()
      yield* settle
      assert.deepInclude(state.stats(), { size: 1, idle: 1 })
    }))

  it.scoped("leave one alone that has no room for more, or is not to be used any more", () =>
    Effect.gen(function*() {
      let isOpen = true
      const { ask, state } = yield* make({ maxsize: 2, share: 9, maxUses: 3, canShare: () => isOpen })
      const a = ask(true)
      yield* settle
      isOpen = false
      const b = ask(true)
      yield* settle
      assert.deepStrictEqual(ids([a, b]), [1, 2])
      isOpen = true
      state.invalidate({ id: 1 })
      state.invalidate(a.slot!.value)
      assert.deepStrictEqual(ids([ask(true)]), [2])
      a.leave()
      yield* settle
      assert.deepInclude(state.stats().closed, { invalidated: 1 })
    }))
})

describe("borrowers who share, when supply or demand changes", () => {
  /** One connection, on which there is room for two more; who wants one for himself waits, and others behind him. */
  const behindOneAlone = (options: Partial<Options> = {}, fake?: FakeResource) =>
    Effect.gen(function*() {
      const made = yield* make({ maxsize: 1, maxoverflow: 1, share: 3, acquireTimeout: 1000, ...options }, fake)
      const first = made.ask(true)
      yield* settle
      const alone = made.ask(false)
      yield* TestClock.adjust(600)
      const behind = made.ask(true)
      assert.isTrue(alone.isWaiting && behind.isWaiting)
      return { ...made, first, alone, behind }
    })

  it.scoped("I2 are served as soon as who waits before them is refused, and so is who comes then", () =>
    Effect.gen(function*() {
      const { alone, ask, behind } = yield* behindOneAlone()
      yield* TestClock.adjust(399)
      assert.isTrue(alone.isWaiting && behind.isWaiting)
      yield* TestClock.adjust(1)
      assert.isDefined(alone.failure)
      assert.deepStrictEqual(ids([behind, ask(true)]), [1, 1])
    }))

  it.scoped("I2 are served as soon as a connect fails who waits before them", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({
        connect: (id) => id === 1 ? ok : Effect.zipRight(slow(700), fail)
      })
      const { alone, behind } = yield* behindOneAlone({ maxoverflow: 2, maxwait: 0 }, fake)
      yield* TestClock.adjust(99)
      assert.isTrue(alone.isWaiting && behind.isWaiting)
      yield* TestClock.adjust(1)
      assert.isDefined(alone.failure)
      assert.deepStrictEqual(ids([behind]), [1])
    }))

  it.scoped("I2 are served on a connection that may be joined again, once that is said", () =>
    Effect.gen(function*() {
      let isOpen = true
      const { ask, state } = yield* make({ maxsize: 1, maxoverflow: 1, canShare: () => isOpen })
      const first = ask(true)
      yield* settle
      isOpen = false
      const second = ask(true)
      assert.isTrue(second.isWaiting)
      isOpen = true
      state.shareable(first.slot!.value)
      assert.deepStrictEqual(ids([second]), [1])
    }))

  it.scoped("I2 after a shrink no more connections run dry than are to go, and then none", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 3, maxoverflow: 3, share: 2 })
      const all = times(6, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(all), [1, 1, 2, 2, 3, 3])
      state.resize(2, 2)
      for (const one of [all[0], all[2], all[4]]) one.leave()
      // Of three with room one runs dry.
      const [a, b, c] = times(3, () => ask(true))
      assert.isTrue(!a.isWaiting && !b.isWaiting && c.isWaiting)
      const dry = [all[1], all[3], all[5]].find(({ slot }) => ids([a, b]).every((id) => id !== slot?.value.id))!
      // The last two close their ranks again as soon as that one is gone.
      dry.leave()
      const stays = [all[1], all[3], all[5]].find((one) => one !== dry)!
      stays.leave()
      assert.isFalse(c.isWaiting)
      assert.strictEqual(c.slot, stays.slot)
      yield* settle
      assert.deepInclude(state.stats(), { size: 2, busy: 2, waiting: 0 })
      assert.deepInclude(state.stats().closed, { surplus: 1 })
    }))

  it.scoped("I2 after a shrink who shares is not kept from the connection that stays", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 2, maxoverflow: 2, share: 2 })
      const [a, , c] = times(3, () => ask(true))
      yield* settle
      state.resize(1, 1)
      const d = ask(true)
      a.leave()
      assert.deepStrictEqual(ids([d]), [1])
      const e = ask(true)
      assert.isTrue(e.isWaiting)
      c.leave()
      yield* settle
      assert.deepInclude(state.stats(), { size: 1, waiting: 1 })
      d.leave()
      assert.deepStrictEqual(ids([e]), [1])
    }))

  it.scoped("only those who came before are left a connection that runs dry", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 2, maxoverflow: 2, share: 2 })
      const [a, , c] = times(4, () => ask(true))
      yield* settle
      const [before, sharer, after] = [ask(false), ask(true), ask(false)]
      a.leave()
      assert.isTrue(sharer.isWaiting)
      c.leave()
      assert.isTrue(before.isWaiting && after.isWaiting)
      assert.isFalse(sharer.isWaiting)
    }))

  it.scoped("the same one runs dry until who waits for it has it, whoever comes and goes meanwhile", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 2, maxoverflow: 2, share: 3 })
      let others = times(4, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(others), [1, 1, 1, 2])
      const alone = ask(false)
      for (let round = 0; alone.isWaiting; round++) {
        assert.isBelow(round, 10)
        const another = ask(false)
        another.leave()
        others.shift()!.leave()
        others = [...others, ask(true)].filter(({ slot }) => slot !== undefined)
      }
      assert.isDefined(alone.slot)
    }))

  it.scoped("maxUses counts all that it is lent for, and no more than that use it at the same time", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 9, share: 32, maxUses: 2 })
      const all = times(5, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(all), [1, 1, 2, 2, 3])
      all[4].leave()
      const last = ask(true)
      assert.deepStrictEqual(ids([last]), [3])
      for (const one of [...all.slice(0, 4), last]) one.leave()
      yield* settle
      assert.deepInclude(state.stats(), { size: 0, acquired: 6 })
      assert.deepInclude(state.stats().closed, { used: 3 })
    }))

  it.scoped("R4 one connect is for one only who wants it for himself: others fill the queue", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, share: 3, maxWaiting: 1 })
      const alone = times(3, () => ask(false))
      assert.deepStrictEqual(alone.map((one) => one.isWaiting), [true, true, false])
      yield* settle
      assert.deepStrictEqual(ids(alone), [1, undefined, undefined])
    }))

  it.scoped("R4 one connect is for one only who wants it for himself: with whenFull \"fail\" others are refused", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(500) })
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, maxwait: 100, whenFull: "fail", share: 3 }, fake)
      const alone = times(2, () => ask(false))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(alone.map((one) => one.isWaiting), [true, false])
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(ids(alone), [1, undefined])
    }))

  it.scoped("R4 with whenFull \"fail\" who shares fails after maxwait when every place is taken, and not before", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 2, maxwait: 100, whenFull: "fail", share: 3 })
      const all = times(7, () => ask(true))
      yield* TestClock.adjust(99)
      assert.isTrue(all[6].isWaiting)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(ids(all), [1, 1, 1, 2, 2, 2, undefined])
      const { failure } = all[6]
      assert.ok(failure !== undefined && Exit.isFailure(failure))
      assert.deepInclude(Cause.squash(failure.cause), { waited: 100, limit: "maxwait", wasOwed: false })
    }))

  it.scoped("a request looks at no more connections where there are many", () =>
    Effect.gen(function*() {
      let looks = 0
      let isOpen = true
      const canShare = () => (looks++, isOpen)
      const { ask } = yield* make({ maxsize: 50, maxoverflow: 50, share: 2, canShare })
      const all = times(100, () => ask(true))
      yield* settle
      assert.isTrue(all.every(({ slot }) => slot !== undefined))
      const some = all.filter((_, i) => i % 2 === 0)
      for (const one of some) one.leave()
      const asked = (n: number) => {
        looks = 0
        for (let i = 0; i < n; i++) ask(true).leave()
        return looks
      }
      assert.isAtMost(asked(100), 200)
      // Those that were found unfit are not looked at again until something has changed there.
      isOpen = false
      assert.isAtMost(asked(100), 200)
      isOpen = true
      const waits = ask(true)
      all[1].leave()
      assert.strictEqual(waits.slot, all[1].slot)
    }))

  it.scoped("who is told something finds the pool as it is after all that has happened", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 1, maxoverflow: 1, share: 3, acquireTimeout: 1000 })
      const holder = ask(false)
      yield* settle
      const waiting: Array<number> = []
      const look = () => waiting.push(state.stats().waiting)
      const refused = times(3, () => ask(true, look))
      yield* TestClock.adjust(1000)
      assert.isTrue(refused.every(({ failure }) => failure !== undefined))
      const served = times(3, () => ask(true, look))
      holder.leave()
      assert.deepStrictEqual(ids(served), [1, 1, 1])
      assert.deepStrictEqual(waiting, [0, 0, 0, 0, 0, 0])
    }))

  it.scoped("who asks again in the moment in which he is refused waits, and is refused in time", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, share: 3, acquireTimeout: 1000 })
      ask(false)
      yield* settle
      const again: Array<Borrower> = []
      times(2, () => ask(true, () => again.push(ask(true))))
      yield* TestClock.adjust(1000)
      assert.isTrue(again.length === 2 && again.every((one) => one.isWaiting))
      yield* TestClock.adjust(1000)
      assert.isTrue(again.every(({ failure }) => failure !== undefined))
    }))

  it.scoped("R12 who leaves between the moment in which he is served and that in which he is told gives his place back", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 1, maxoverflow: 1, share: 2 })
      const holder = ask(false)
      yield* settle
      const first = ask(true, () => second.leave())
      const second = ask(true)
      holder.leave()
      assert.deepStrictEqual(ids([first, second]), [1, undefined])
      assert.deepStrictEqual(ids([ask(true)]), [1])
      assert.deepInclude(state.stats(), { busy: 1, waiting: 0 })
    }))
})

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
    assert.isAtMost(together.length, together.every(({ shares }) => shares) ? share : 1, "borrowers of one connection")
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

describe("borrowers who share, by chance", () => {
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
            assert.isTrue(all.every((one) => one.slot !== undefined), "I8")
            for (const one of all) one.leave()
            yield* Scope.close(scope, Exit.void)
            assert.strictEqual(fake.live, 0)
          }))),
        { numRuns: 300 }
      )
    ))
})
