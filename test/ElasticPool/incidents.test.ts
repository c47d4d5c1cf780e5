import { assert, describe, it } from "@effect/vitest"
import { Effect, Runtime, Schedule, TestClock } from "effect"
import type { YieldWrap } from "effect/Utils"
import { Incidents } from "../../src/internal/pool/incidents.js"
import { makeRuntime } from "../../src/internal/pool/runtime.js"
import { Caller, failTransiently, FakeResource, ok, settle } from "../support/fakeResource.js"
import { makeClosable, makePool, WatchedClock, withLogs } from "../support/testPool.js"

const words = { fails: "It fails", stillFails: "It still fails", worksAgain: "It works again" }

const makeIncidents = Effect.gen(function*() {
  const clock = yield* WatchedClock.make
  const fork = Runtime.runFork(yield* Effect.runtime())
  const now = () => clock.unsafeCurrentTimeMillis()
  const time = { clock, fork, now, date: now }
  const { io, log } = makeRuntime(time, time, () => 0)
  const incidents = new Incidents(words, io, log)
  yield* Effect.addFinalizer(() => Effect.sync(() => incidents.stop()))
  return { incidents, clock }
})

/** A test of an `Incidents` whose lines go to `logs`. */
const scenario = (
  title: string,
  play: (
    incidents: Incidents,
    logs: Array<string>,
    clock: WatchedClock
  ) => Generator<YieldWrap<Effect.Effect<void>>, void, never>
) =>
  it.scoped(title, () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        const { clock, incidents } = yield* makeIncidents
        yield* Effect.gen(() => play(incidents, logs, clock))
      })
    ))

const pass = TestClock.adjust

describe("R18: what the log says of connects that fail, and of LISTEN", () => {
  scenario("the first failure is told at once, and its like are counted", function*(incidents, logs) {
    for (let i = 0; i < 100; i++) incidents.failed("refused")
    assert.deepStrictEqual(logs, ["WARN It fails: refused"])
  })

  scenario("another reason is told at once, with how many failed before it", function*(incidents, logs) {
    incidents.failed("password refused")
    yield* pass("1 seconds")
    for (let i = 0; i < 12; i++) incidents.failed("password refused")
    incidents.failed("the server starts up")
    assert.deepStrictEqual(logs, [
      "WARN It fails: password refused",
      "WARN It fails: the server starts up (and 12 more since the last line)"
    ])
  })

  scenario("reasons that take turns are told once each", function*(incidents, logs) {
    for (let i = 0; i < 20; i++) {
      incidents.failed("refused")
      incidents.failed("no such name")
      yield* pass("1 seconds")
    }
    assert.deepStrictEqual(logs.map((line) => line.split(" (")[0]), [
      "WARN It fails: refused",
      "WARN It fails: no such name"
    ])
  })

  scenario("the same words with other numbers are the same reason", function*(incidents, logs) {
    for (let i = 0; i < 20; i++) {
      incidents.failed(`connect EADDRNOTAVAIL 10.0.0.${i}:5432 - Local (10.0.0.9:${40_000 + i})`)
    }
    assert.lengthOf(logs, 1)
    incidents.failed("connect ECONNREFUSED 10.0.0.1:5432")
    assert.lengthOf(logs, 2)
  })

  scenario("a reason that is another one each time fills no log: five lines a minute, the rest is counted", function*(
    incidents,
    logs
  ) {
    for (let i = 0; i < 120; i++) {
      incidents.failed(`request ${"abcdefghijkl"[i % 12].repeat(i + 1)} failed`)
      yield* pass("1 seconds")
    }
    assert.lengthOf(logs, 10)
    assert.match(logs[5], /\(and 55 more since the last line\)$/)
  })

  scenario("while it lasts, one line a minute says so, with how many more there were", function*(incidents, logs) {
    for (let i = 0; i <= 125; i++) {
      incidents.failed("refused")
      yield* pass("1 seconds")
    }
    assert.deepStrictEqual(logs, [
      "WARN It fails: refused",
      "WARN It still fails after 1m, 59 more since the last line: refused",
      "WARN It still fails after 2m, 59 more since the last line: refused"
    ])
  })

  scenario("its end is told once, with how long it lasted and how many failed", function*(incidents, logs) {
    for (let i = 0; i < 12; i++) {
      incidents.failed("refused")
      yield* pass("1 seconds")
    }
    incidents.worked()
    yield* pass("1 seconds")
    incidents.worked()
    assert.lengthOf(logs, 1)
    yield* pass("4 seconds")
    assert.deepStrictEqual(logs.slice(1), ["INFO It works again: 12 had failed in 12s"])
    incidents.worked()
    yield* pass("1 hour")
    assert.lengthOf(logs, 2)
  })

  scenario("what works and fails by turns is one incident, and told once a minute", function*(incidents, logs) {
    for (let i = 0; i < 600; i++) {
      incidents.worked()
      incidents.failed("too many clients")
      incidents.worked()
      yield* pass("200 millis")
    }
    assert.deepStrictEqual(logs, [
      "WARN It fails: too many clients",
      "WARN It still fails after 1m, 299 more since the last line: too many clients"
    ])
    yield* pass("1 minute")
    assert.deepStrictEqual(logs.slice(2), ["INFO It works again: 600 had failed in 2m"])
  })

  scenario("so is what fails every ten seconds, and works in between", function*(incidents, logs) {
    for (let i = 0; i < 60; i++) {
      incidents.failed("too many clients")
      yield* pass("100 millis")
      incidents.worked()
      yield* pass("9900 millis")
    }
    assert.isAtMost(logs.length, 14, logs.join("\n"))
  })

  scenario("the same reason is told again once the last incident is over", function*(incidents, logs) {
    for (let i = 0; i < 2; i++) {
      incidents.failed("refused")
      yield* pass("3 seconds")
      incidents.worked()
      yield* pass("20 seconds")
    }
    assert.deepStrictEqual(logs, [
      "WARN It fails: refused",
      "INFO It works again: 1 had failed in 3s",
      "WARN It fails: refused",
      "INFO It works again: 1 had failed in 3s"
    ])
  })

  scenario("an incident that got no line is counted in the next one, and its end is not told", function*(
    incidents,
    logs
  ) {
    for (const reason of ["a", "b", "c", "d", "e"]) incidents.failed(reason)
    incidents.worked()
    yield* pass("5 seconds")
    assert.lengthOf(logs, 6)
    for (let i = 0; i < 3; i++) incidents.failed("f")
    incidents.worked()
    yield* pass("1 minute")
    assert.lengthOf(logs, 6)
    incidents.failed("g")
    assert.deepStrictEqual(logs.slice(6), ["WARN It fails: g (and 3 more since the last line)"])
  })

  scenario("a line is one line, whatever the reason is", function*(incidents, logs) {
    incidents.failed("no:\n  such\r\n\nhost\n")
    assert.deepStrictEqual(logs, ["WARN It fails: no: such host"])
  })

  scenario("it sleeps only until an incident is over, and not after it was stopped", function*(incidents, _, clock) {
    incidents.failed("refused")
    assert.strictEqual(clock.asleep, 0)
    for (let i = 0; i < 10; i++) {
      incidents.worked()
      incidents.failed("refused")
    }
    incidents.worked()
    yield* pass("1 millis")
    assert.strictEqual(clock.asleep, 1)
    yield* pass("5 seconds")
    assert.strictEqual(clock.asleep, 0)
    incidents.failed("refused")
    incidents.worked()
    yield* pass("1 millis")
    assert.strictEqual(clock.asleep, 1)
    incidents.stop()
    incidents.failed("refused")
    incidents.worked()
    yield* pass("1 millis")
    assert.strictEqual(clock.asleep, 0)
  })

  it.scoped("the second incident: a restart half a minute after a refused password has its line", () =>
    withLogs((logs) =>
      Effect.gen(function*() {
        let outcome: Effect.Effect<object, { readonly message: string }> = Effect.fail({
          message: "password refused",
          toString: () => "password refused"
        })
        const pool = yield* makePool({
          acquire: Effect.suspend(() => outcome),
          isPermanent: ({ message }) => message.includes("password"),
          isTransient: ({ message }) => !message.includes("password"),
          connectRetry: Schedule.spaced("500 millis"),
          maxUses: 1
        })
        const ask = Effect.flatMap(Caller.ask(pool), ({ release }) => release)
        yield* ask
        outcome = Effect.sync(() => ({}))
        yield* pass("10 seconds")
        yield* ask
        yield* pass("20 seconds")
        outcome = Effect.fail({ message: "the server starts up", toString: () => "the server starts up" })
        const waiter = yield* Caller.ask(pool)
        yield* pass("3900 millis")
        outcome = Effect.sync(() => ({}))
        yield* pass("30 seconds")
        yield* waiter.release
        assert.deepStrictEqual(logs, [
          "WARN Connects fail, and another one is tried whenever one is needed: password refused",
          "INFO Connects succeed again: 1 had failed in 10s",
          "WARN Connects fail, and another one is tried whenever one is needed: the server starts up",
          "INFO Connects succeed again: 8 had failed in 4s"
        ])
      })
    ))

  it.scoped("I5: a pool that is closed just after an outage leaves nothing asleep", () =>
    Effect.gen(function*() {
      const clock = yield* WatchedClock.make
      const fake = new FakeResource({ connect: failTransiently })
      const { close, pool } = yield* makeClosable(fake.options, clock)
      const caller = yield* Caller.ask(pool)
      fake.connect = ok
      yield* pass("1 seconds")
      yield* caller.release
      yield* close
      yield* settle
      assert.strictEqual(clock.asleep, 0)
    }))
})
