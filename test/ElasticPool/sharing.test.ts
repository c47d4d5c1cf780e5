import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, TestClock } from "effect"
import { areAll } from "../support/areAll.js"
import type { Borrower, Options } from "../support/borrower.js"
import { make, settle, times } from "../support/borrower.js"
import { fail, FakeResource, ok, slow } from "../support/fakeResource.js"

const ids = (borrowers: ReadonlyArray<Borrower>): ReadonlyArray<number | undefined> =>
  borrowers.map(({ slot }) => slot?.value.id)

describe("R34: borrowers who share", () => {
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
      assert.isTrue(areAll(all, (one) => !one.isWaiting))
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

describe("R34: borrowers who share, when supply or demand changes", () => {
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

  it.scoped("I2: are served as soon as who waits before them is refused, and so is who comes then", () =>
    Effect.gen(function*() {
      const { alone, ask, behind } = yield* behindOneAlone()
      yield* TestClock.adjust(399)
      assert.isTrue(alone.isWaiting && behind.isWaiting)
      yield* TestClock.adjust(1)
      assert.isDefined(alone.failure)
      assert.deepStrictEqual(ids([behind, ask(true)]), [1, 1])
    }))

  it.scoped("I2: are served as soon as a connect fails who waits before them", () =>
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

  it.scoped("I2: are served on a connection that may be joined again, once that is said", () =>
    Effect.gen(function*() {
      let isOpen = true
      const { ask, state } = yield* make({ maxsize: 1, maxoverflow: 1, canShare: () => isOpen })
      const first = ask(true)
      yield* settle
      isOpen = false
      const second = ask(true)
      assert.isTrue(second.isWaiting)
      isOpen = true
      state.sharing.reopened(first.slot!.value)
      assert.deepStrictEqual(ids([second]), [1])
    }))

  it.scoped("I2: after a shrink no more connections run dry than are to go, and then none", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 3, maxoverflow: 3, share: 2 })
      const all = times(6, () => ask(true))
      yield* settle
      assert.deepStrictEqual(ids(all), [1, 1, 2, 2, 3, 3])
      state.operator.resize(2, 2)
      for (const one of [all[0], all[2], all[4]]) one.leave()
      // Of three with room one runs dry.
      const [a, b, c] = times(3, () => ask(true))
      assert.isTrue(!a.isWaiting && !b.isWaiting && c.isWaiting)
      const dry = [all[1], all[3], all[5]].find(({ slot }) => areAll(ids([a, b]), (id) => id !== slot?.value.id))!
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

  it.scoped("I2: after a shrink who shares is not kept from the connection that stays", () =>
    Effect.gen(function*() {
      const { ask, state } = yield* make({ maxsize: 2, maxoverflow: 2, share: 2 })
      const [a, , c] = times(3, () => ask(true))
      yield* settle
      state.operator.resize(1, 1)
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

  it.scoped("R4: one connect is for one only who wants it for himself: others fill the queue", () =>
    Effect.gen(function*() {
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, share: 3, maxWaiting: 1 })
      const alone = times(3, () => ask(false))
      assert.deepStrictEqual(alone.map((one) => one.isWaiting), [true, true, false])
      yield* settle
      assert.deepStrictEqual(ids(alone), [1, undefined, undefined])
    }))

  it.scoped("R4: one connect is for one only who wants it for himself: with whenFull \"fail\" others are refused", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ connect: slow(500) })
      const { ask } = yield* make({ maxsize: 1, maxoverflow: 1, maxwait: 100, whenFull: "fail", share: 3 }, fake)
      const alone = times(2, () => ask(false))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(alone.map((one) => one.isWaiting), [true, false])
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(ids(alone), [1, undefined])
    }))

  it.scoped("R4: with whenFull \"fail\" who shares fails after maxwait when every place is taken, and not before", () =>
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
      assert.isTrue(areAll(all, ({ slot }) => slot !== undefined))
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
      assert.isTrue(areAll(refused, ({ failure }) => failure !== undefined))
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
      assert.isTrue(again.length === 2 && areAll(again, (one) => one.isWaiting))
      yield* TestClock.adjust(1000)
      assert.isTrue(areAll(again, ({ failure }) => failure !== undefined))
    }))

  it.scoped("R12: who leaves between the moment in which he is served and that in which he is told gives his place back", () =>
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
