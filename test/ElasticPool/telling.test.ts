import { Effect, Exit, FastCheck as fc } from "effect"
import { ElasticPool } from "effect-pgpool"
import { assert, describe, it } from "vitest"
import { Outbox } from "../../src/internal/pool/outbox.js"
import { FakeRuntime } from "../support/fakeRuntime.js"

type State = FakeRuntime["state"]
type Outcome = Parameters<Parameters<State["request"]>[1]>[0]

const crowd = 20_000

const one = { maxsize: 1, maxoverflow: 1, maxwait: 0 }

/** A pool with one connection, which is in use, and what gives it back. */
const inUse = () => {
  const runtime = new FakeRuntime(one, true)
  const { state } = runtime
  let giveBack = () => {}
  state.request(false, (outcome) => {
    assert.isTrue(Exit.isSuccess(outcome))
    giveBack = () => back(outcome)
  })
  return { runtime, state, giveBack: () => giveBack() }
}

const back = (outcome: Outcome) => {
  if (Exit.isSuccess(outcome)) outcome.value.end()
}

/** Counts how deep calls stand in each other. */
class Depth {
  deepest = 0
  private now = 0

  within(body: () => void): void {
    this.deepest = Math.max(this.deepest, ++this.now)
    body()
    this.now--
  }
}

describe("what is told is told after the critical section, in order, and the stack stays flat", () => {
  it("I3: 20,000 callers that give back inside the call are served in order", () => {
    const { giveBack, runtime, state } = inUse()
    const depth = new Depth()
    const served: Array<number> = []
    for (let i = 0; i < crowd; i++) {
      state.request(false, (outcome) =>
        depth.within(() => {
          served.push(i)
          back(outcome)
        }))
    }
    assert.strictEqual(state.stats().waiting, crowd)
    giveBack()
    assert.deepStrictEqual(served, Array.from({ length: crowd }, (_, i) => i))
    assert.strictEqual(depth.deepest, 1)
    assert.deepInclude(state.stats(), { waiting: 0, busy: 0, idle: 1 })
    assert.deepStrictEqual(runtime.wrongs, [])
  })

  it("I3, R11: 20,000 callers that give back and ask again inside the call are served in order, each twice", () => {
    const { giveBack, runtime, state } = inUse()
    const depth = new Depth()
    const served: Array<number> = []
    const ask = (i: number, times: number): void => {
      state.request(false, (outcome) =>
        depth.within(() => {
          served.push(i)
          // It asks before it gives back, so that it has to wait, or afterwards.
          if (times > 1 && i % 2 === 0) ask(i, times - 1)
          back(outcome)
          if (times > 1 && i % 2 === 1) ask(i, times - 1)
        }))
    }
    for (let i = 0; i < crowd; i++) ask(i, 2)
    giveBack()
    const all = Array.from({ length: crowd }, (_, i) => i)
    assert.deepStrictEqual(served, [...all, ...all])
    assert.strictEqual(depth.deepest, 1)
    assert.deepStrictEqual(runtime.wrongs, [])
  })

  it("R2: a lone caller that asks again inside the call, 20,000 times, is told one time after the other", () => {
    const { giveBack, runtime, state } = inUse()
    giveBack()
    const depth = new Depth()
    let served = 0
    const ask = (): void => {
      state.request(false, (outcome) =>
        depth.within(() => {
          back(outcome)
          if (++served < crowd) ask()
        }))
    }
    ask()
    assert.strictEqual(served, crowd)
    assert.strictEqual(depth.deepest, 1)
    assert.deepStrictEqual(runtime.wrongs, [])
  })

  it("R12: a caller that leaves after it was served, but before it was told, is told nothing and keeps nothing", () => {
    const { giveBack, state } = inUse()
    const told: Array<string> = []
    let second: ReturnType<State["request"]> | undefined = undefined
    state.request(false, (outcome) => {
      back(outcome)
      // The second one has been served now, but not been told.
      told.push("first")
      if (second?.isUntold === true) state.leave(second)
    })
    second = state.request(false, () => told.push("second"))
    state.request(false, (outcome) => {
      told.push("third")
      back(outcome)
    })
    giveBack()
    assert.deepStrictEqual(told, ["first", "third"])
    assert.deepInclude(state.stats(), { waiting: 0, busy: 0, idle: 1 })
  })

  it("R12: a party that throws keeps nothing from the others, and its defect is not lost", () => {
    const outbox = new Outbox()
    const told: Array<number> = []
    const bug = new Error("a bug")
    assert.throws(
      () =>
        outbox.section(() => {
          outbox.post(() => told.push(1))
          outbox.post(() => {
            throw bug
          })
          outbox.post(() => outbox.post(() => told.push(3)))
          outbox.post(() => told.push(2))
          assert.deepStrictEqual(told, [])
        }),
      bug
    )
    assert.deepStrictEqual(told, [1, 2, 3])
    outbox.post(() => told.push(4))
    assert.deepStrictEqual(told, [1, 2, 3, 4])
  })

  it("I3: fibers that wait are served in order as well", async () => {
    const served: Array<number> = []
    await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const pool = yield* ElasticPool.make({ ...one, acquire: Effect.sync(() => ({})) })
      yield* Effect.forEach(
        Array.from({ length: 2000 }, (_, i) => i),
        (i) => pool.use(() => Effect.sync(() => served.push(i))),
        { concurrency: "unbounded" }
      )
    })))
    assert.deepStrictEqual(served, Array.from({ length: 2000 }, (_, i) => i))
  })
})

describe("the state machine runs without fibers", () => {
  it("R3, R5, R7, R13: take, wait, hand over, release, close", () => {
    const runtime = new FakeRuntime({ ...one, minsize: 0, closeTimeout: 100 })
    const { dials, state } = runtime
    const outcomes: Array<Outcome> = []
    const ask = () => state.request(false, (outcome) => outcomes.push(outcome))
    assert.isUndefined(state.take())
    assert.deepInclude(state.stats(), { size: 0 })
    ask()
    assert.strictEqual(dials.length, 1)
    assert.deepInclude(state.stats(), { opening: 1, waiting: 1 })
    ask()
    assert.strictEqual(dials.length, 1)
    runtime.opens(dials[0])
    assert.strictEqual(outcomes.length, 1)
    assert.deepInclude(state.stats(), { busy: 1, waiting: 1 })
    back(outcomes[0])
    assert.strictEqual(outcomes.length, 2)
    assert.deepInclude(state.stats(), { busy: 1, waiting: 0 })
    back(outcomes[1])
    assert.deepInclude(state.stats(), { idle: 1 })
    ask()
    ask()
    const ends: Array<boolean> = []
    state.lifecycle.close()
    state.lifecycle.phase.onEnd((wasEmptied) => ends.push(wasEmptied))
    assert.isTrue(Exit.isFailure(outcomes[3]))
    assert.deepStrictEqual(ends, [])
    runtime.advance(99)
    assert.deepInclude(state.stats(), { busy: 1 })
    runtime.advance(1)
    assert.deepStrictEqual(ends, [true])
    assert.deepInclude(state.stats(), { size: 0, waiting: 0 })
    assert.deepStrictEqual(runtime.wrongs, [])
  })
})

/** What a caller does inside the call in which it is told. */
type Answer = "keeps" | "gives back" | "gives back and asks again" | "asks again and gives back"

const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("ask" as const),
      how: fc.constantFrom<Answer>("keeps", "gives back", "gives back and asks again", "asks again and gives back")
    })
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("release" as const, "leave" as const), which: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("invalidate" as const, "lose" as const), which: fc.nat(9) })
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("advance" as const), millis: fc.constantFrom(1, 60, 1500, 9000) })
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("resize" as const), maxoverflow: fc.integer({ min: 2, max: 5 }) })
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom("evict" as const, "evictNow" as const, "suspend" as const) })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const) }) }
)

type Command = typeof command extends fc.Arbitrary<infer C> ? C : never

/** Callers that answer inside the call, as commands say. */
class Crowd {
  readonly runtime = new FakeRuntime({ maxsize: 2, maxoverflow: 4, maxwait: 50, expires: 8000, minsize: 1 }, true)
  private readonly state = this.runtime.state
  private readonly held: Array<{ readonly value: object; readonly release: () => void }> = []
  private readonly waiters: Array<ReturnType<State["request"]>> = []

  private ask(how: Answer): void {
    const { state } = this
    this.waiters.push(state.request(false, (outcome) => {
      this.runtime.hears("caller")
      if (!Exit.isSuccess(outcome)) return
      const { value } = outcome
      if (how === "keeps") this.held.push({ value: value.value, release: () => value.end() })
      if (how === "asks again and gives back") this.ask("gives back")
      if (how !== "keeps") value.end()
      if (how === "gives back and asks again") this.ask("keeps")
    }))
  }

  obey(command: Command): void {
    const { held, runtime, state, waiters } = this
    switch (command.do) {
      case "ask":
        return this.ask(command.how)
      case "release":
        return held.splice(command.which, 1)[0]?.release()
      case "leave": {
        const [waiter] = waiters.splice(command.which, 1)
        return waiter?.isUntold === true ? state.leave(waiter) : undefined
      }
      case "invalidate":
      case "lose": {
        const value = held[command.which]?.value
        if (value === undefined) return
        return command.do === "lose" ? state.lost(value) : void state.invalidate(value)
      }
      case "advance":
        return runtime.advance(command.millis)
      case "resize":
        return state.operator.resize(2, command.maxoverflow)
      case "evict":
        return state.evictor.evict(0)
      case "evictNow":
        return state.evictor.evictNow()
      case "suspend":
        return void state.lifecycle.suspend()
      case "resume":
        return state.lifecycle.resume()
    }
  }

  /** All give back, and the pool is closed. */
  end(): void {
    this.state.lifecycle.resume()
    while (this.held.length > 0 || this.state.stats().waiting > 0) {
      for (const { release } of this.held.splice(0)) release()
      this.runtime.advance(1000)
    }
    assert.deepInclude(this.state.stats(), { busy: 0, waiting: 0 })
    this.state.lifecycle.close()
    assert.deepInclude(this.state.stats(), { size: 0 })
  }
}

describe("no method of the state machine is entered while another runs", () => {
  it("I4, I8: in random schedules in which all that is told something answers inside the call", () => {
    const told = new Map<string, number>()
    fc.assert(
      fc.property(fc.array(command, { minLength: 10, maxLength: 80, size: "max" }), (commands) => {
        const crowd = new Crowd()
        for (const command of commands) crowd.obey(command)
        crowd.end()
        assert.deepStrictEqual(crowd.runtime.wrongs, [])
        for (const [who, times] of crowd.runtime.told) told.set(who, (told.get(who) ?? 0) + times)
      }),
      { numRuns: 400, seed: 7 }
    )
    for (const who of ["begin", "check", "retire", "interrupt", "sleep", "caller"]) {
      assert.isAbove(told.get(who) ?? 0, 50, `${who} was told`)
    }
  })
})
