import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { describe } from "vitest"
import { Caller, fail, FakeResource, hang, ok, slow } from "../support/fakeResource.js"
import { fill, makePool } from "../support/testPool.js"

const limits = { maxsize: 3, maxoverflow: 3, validateAfterIdle: "1 second" } as const

/** Three idle connections, of which the first is found dead when it is next used. */
const withDeadOne = (check: FakeResource["check"]) =>
  Effect.gen(function*() {
    const fake = new FakeResource()
    const pool = yield* makePool({ ...fake.withCheck, ...limits })
    yield* fill(pool, 3)
    yield* TestClock.adjust("2 seconds")
    fake.check = check
    return { fake, pool }
  })

describe("R19: what ended one connection may have ended others", () => {
  it.scoped("R19: a check that fails makes the others suspect: one is checked before its use though it was used just now", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* withDeadOne((id) => id === 1 ? fail : ok)
      const [third, second] = yield* Caller.askTimes(pool, 2)
      assert.deepStrictEqual(fake.checked, [3, 2])
      yield* third.release
      // Used a moment ago, so that it needs no check.
      const again = yield* Caller.ask(pool)
      assert.deepStrictEqual(fake.checked, [3, 2])
      const first = yield* Caller.ask(pool)
      assert.deepStrictEqual(fake.checked, [3, 2, 1])
      assert.strictEqual(first.value?.id, 4)
      // Those in use are checked on their way back, and once is enough.
      yield* again.release
      yield* second.release
      assert.deepStrictEqual(fake.checked, [3, 2, 1, 3, 2])
      yield* Caller.askTimes(pool, 2)
      assert.deepStrictEqual(fake.checked, [3, 2, 1, 3, 2])
      assert.deepStrictEqual(fake.closed, [1])
    }))

  it.scoped("R19: so does one that runs into cleanupTimeout", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* withDeadOne((id) => id === 3 ? hang : ok)
      const caller = yield* Caller.ask(pool)
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(fake.checked, [3, 2])
      assert.strictEqual(caller.value?.id, 2)
    }))

  it.scoped("R19: a reset that runs into cleanupTimeout does, and one that fails doesn't", () =>
    Effect.gen(function*() {
      for (const [reset, expected] of [[hang, [1]], [fail, []]] as const) {
        const fake = new FakeResource()
        const pool = yield* makePool({ ...fake.withReset, ...limits, check: fake.withCheck.check })
        const [first, second] = yield* Caller.askTimes(pool, 2)
        yield* first.release
        fake.reset = reset
        yield* second.release
        yield* TestClock.adjust("500 millis")
        assert.strictEqual((yield* Caller.ask(pool)).value?.id, 1)
        assert.deepStrictEqual(fake.checked, [...expected])
      }
    }))

  it.scoped("R19: what opened after that is above suspicion, and so is what was opening", () =>
    Effect.gen(function*() {
      const { fake, pool } = yield* withDeadOne((id) => id === 3 ? fail : ok)
      fake.connect = slow("100 millis")
      const [first] = yield* Caller.askTimes(pool, 1)
      assert.strictEqual(first.value?.id, 2)
      const [second, third] = yield* Caller.askTimes(pool, 2)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(second.value?.id, 1)
      assert.strictEqual(third.value?.id, 4)
      yield* third.release
      yield* Caller.ask(pool)
      assert.deepStrictEqual(fake.checked, [3, 2, 1])
    }))

  it.scoped("R19: where there is no check nobody is suspected", () =>
    Effect.gen(function*() {
      const fake = new FakeResource({ reset: (id) => id === 1 ? hang : ok })
      const pool = yield* makePool({ ...fake.withReset, ...limits })
      const [first, second] = yield* Caller.askTimes(pool, 2)
      yield* first.release
      yield* TestClock.adjust("500 millis")
      yield* second.release
      assert.deepInclude(yield* pool.stats, { idle: 1, checking: 0 })
    }))
})
