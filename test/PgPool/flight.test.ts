/** What is in flight on a session, without a server. */
import { FastCheck as fc } from "effect"
import { assert, describe, expect, it } from "vitest"
import type { Line, Manner } from "../../src/internal/postgres/session/flight.js"
import { Flight } from "../../src/internal/postgres/session/flight.js"

const statement: Manner = { onInterrupt: "cancel" }
const commit: Manner = { onInterrupt: "leave" }
const read: Manner = { onInterrupt: "cancel", isShared: true }
const write: Manner = { ...read, isWrite: true }

type MutableLine = { -readonly [key in keyof Line]: Line[key] }

/** A flight, and the driver and the server around it. */
const makeFlight = () => {
  const line: MutableLine = { readyForQuery: true, pipeline: false }
  const flight = new Flight(line)
  return {
    line,
    flight,
    send(how: Manner) {
      line.readyForQuery = false
      return flight.sent(how)
    },
    ready() {
      line.readyForQuery = true
      flight.ready()
      flight.tell()
    },
    end() {
      flight.ended()
      flight.tell()
    }
  }
}

describe("R16: a session is settled", () => {
  it("R16: before anything was sent", () => {
    const { flight } = makeFlight()
    assert.isTrue(flight.isSettled)
    let told = 0
    flight.onceSettled(() => told++)
    assert.strictEqual(told, 1)
  })

  it("R16: not from the sending until the server is ready again", () => {
    const { flight, ready, send } = makeFlight()
    send(statement)
    let told = 0
    flight.onceSettled(() => told++)
    assert.isFalse(flight.isSettled)
    flight.answered(statement, false)
    assert.isFalse(flight.isSettled)
    assert.strictEqual(told, 0)
    ready()
    assert.isTrue(flight.isSettled)
    assert.strictEqual(told, 1)
  })

  it("R16: not while the user has sent something by the driver itself", () => {
    const { flight, line, ready } = makeFlight()
    line.readyForQuery = false
    assert.isFalse(flight.isSettled)
    ready()
    assert.isTrue(flight.isSettled)
  })

  it("R16: not while a cancel is under way, however quiet the server is", () => {
    const { flight, ready, send } = makeFlight()
    send(statement)
    flight.cancelSent()
    flight.answered(statement, false)
    let told = 0
    flight.onceSettled(() => told++)
    ready()
    assert.isTrue(flight.isQuiet)
    assert.isFalse(flight.isSettled)
    flight.cancelTaken()
    assert.isTrue(flight.isSettled)
    assert.strictEqual(told, 1)
  })

  it("R16: not when the cancel was taken and the statement still runs", () => {
    const { flight, send } = makeFlight()
    send(statement)
    flight.cancelSent()
    flight.cancelTaken()
    assert.isFalse(flight.isSettled)
  })

  it("R16: when it has ended, whatever was in flight", () => {
    const { end, flight, send } = makeFlight()
    const told: Array<string> = []
    send(statement)
    flight.cancelSent()
    flight.onceSettled(() => told.push("settled"))
    flight.onceReady(() => told.push("ready"))
    end()
    assert.isTrue(flight.isSettled)
    assert.deepStrictEqual(told, ["ready", "settled"])
    flight.onceReady(() => told.push("late"))
    assert.deepStrictEqual(told, ["ready", "settled", "late"])
  })

  it("R16: for the first of those who wait, if that one sends something", () => {
    const { flight, ready, send } = makeFlight()
    const told: Array<string> = []
    send(statement)
    flight.onceSettled(() => {
      told.push("first")
      send(statement)
    })
    flight.onceSettled(() => told.push("second"))
    flight.answered(statement, false)
    ready()
    assert.deepStrictEqual(told, ["first"])
    flight.answered(statement, false)
    ready()
    assert.deepStrictEqual(told, ["first", "second"])
  })

  it("R16: and tells nobody who has left", () => {
    const { flight, ready, send } = makeFlight()
    const told: Array<string> = []
    const [stays, leaves] = ["stays", "leaves"].map((name) => () => void told.push(name))
    send(statement)
    flight.onceSettled(leaves)
    flight.onceSettled(stays)
    flight.forget(leaves)
    flight.answered(statement, false)
    ready()
    assert.deepStrictEqual(told, ["stays"])
  })

  it("R16: and sends one query after the other again, once nobody shares it", () => {
    const { flight, line, ready, send } = makeFlight()
    send(read)
    assert.isTrue(line.pipeline)
    flight.answered(read, false)
    assert.isTrue(line.pipeline)
    ready()
    assert.isFalse(line.pipeline)
  })
})

describe("R16: a cancel is due", () => {
  it("R16: when the caller of the only statement is gone", () => {
    const { flight, send } = makeFlight()
    send(statement)
    assert.isFalse(flight.runsForNobody)
    flight.abandon()
    assert.isTrue(flight.runsForNobody)
  })

  it("R16: when the borrower is gone, who may have sent something by the driver itself", () => {
    const { flight, send } = makeFlight()
    send(statement)
    flight.answered(statement, false)
    assert.isFalse(flight.runsForNobody)
    flight.cutOff()
    assert.isTrue(flight.runsForNobody)
  })

  it("R16: not when nothing runs, and a borrower that went then is not held against the next one", () => {
    const { flight, send } = makeFlight()
    flight.cutOff()
    assert.isFalse(flight.runsForNobody)
    send(statement)
    assert.isFalse(flight.runsForNobody)
  })

  it("R16: nor is one that went while something ran, once the session has settled", () => {
    const { flight, ready, send } = makeFlight()
    send(statement)
    flight.cutOff()
    flight.answered(statement, false)
    ready()
    send(statement)
    assert.isFalse(flight.runsForNobody)
  })

  it("R22: never for a COMMIT", () => {
    const { flight, send } = makeFlight()
    send(commit)
    flight.cutOff()
    assert.isFalse(flight.runsForNobody)
  })

  it("R16: only when nobody waits for any of those that share the session", () => {
    const { flight, send } = makeFlight()
    send(read)
    send(read)
    flight.abandon()
    assert.isFalse(flight.runsForNobody)
    flight.abandon()
    assert.isTrue(flight.runsForNobody)
    send(read)
    assert.isFalse(flight.runsForNobody)
  })

  it("R16: and so when the one is answered that somebody had waited for", () => {
    const { flight, send } = makeFlight()
    send(read)
    send(read)
    flight.abandon()
    flight.answered(read, false)
    assert.isTrue(flight.runsForNobody)
    flight.answered(read, true)
    assert.isFalse(flight.runsForNobody)
  })

  it("R16: not when the session has ended", () => {
    const { end, flight, send } = makeFlight()
    send(statement)
    flight.abandon()
    end()
    assert.isFalse(flight.runsForNobody)
  })

  it("R16: and a write that has not begun must not, which only several can be", () => {
    const { flight, send } = makeFlight()
    send(write)
    assert.isFalse(flight.hasUnbegunWrites)
    send(read)
    assert.isTrue(flight.hasUnbegun)
    assert.isTrue(flight.hasUnbegunWrites)
    flight.answered(write, false)
    assert.isFalse(flight.hasUnbegunWrites)
    send(read)
    assert.isTrue(flight.hasUnbegun)
    assert.isFalse(flight.hasUnbegunWrites)
  })
})

it("R22: only the query that was sent last is the latest, answered or not", () => {
  const { flight, send } = makeFlight()
  const first = send(read)
  assert.isTrue(flight.isLatest(first))
  const second = send(read)
  assert.isFalse(flight.isLatest(first))
  assert.isTrue(flight.isLatest(second))
  flight.answered(read, false)
  assert.isTrue(flight.isLatest(second))
})

/** The same by a list of all queries, without a count. */
class Model {
  readonly queries: Array<{ readonly how: Manner; isAbandoned: boolean; isAnswered: boolean }> = []
  private readonly waiting: Array<{ readonly id: number; readonly sends: Manner | undefined }> = []
  readonly told: Array<number> = []
  isReady = true
  isCancelled = false
  isCutOff = false
  hasEnded = false
  private isForgotten = true

  get pending() {
    return this.queries.filter(({ isAnswered }) => !isAnswered)
  }

  get isQuiet() {
    return this.hasEnded || (this.isReady && this.pending.length === 0)
  }

  get isSettled() {
    return this.hasEnded || (this.isQuiet && !this.isCancelled)
  }

  get runsForNobody() {
    if (this.isQuiet || this.isForgotten || this.queries.at(-1)?.how.onInterrupt !== "cancel") return false
    return this.isCutOff || (this.pending.length > 0 && this.pending.every(({ isAbandoned }) => isAbandoned))
  }

  get hasUnbegunWrites() {
    return this.pending.length > 1 && this.pending.some(({ how }) => how.isWrite === true)
  }

  send(how: Manner) {
    this.isReady = false
    this.isForgotten = false
    this.queries.push({ how, isAbandoned: false, isAnswered: false })
  }

  wait(id: number, sends: Manner | undefined) {
    this.waiting.push({ id, sends })
    if (this.isSettled) this.tellLast()
  }

  /** One that need not wait passes those who were not told yet. */
  private tellLast() {
    this.tellOne(this.waiting.pop()!)
  }

  private tellOne({ id, sends }: { readonly id: number; readonly sends: Manner | undefined }) {
    this.told.push(id)
    if (sends !== undefined) this.send(sends)
  }

  tell() {
    if (!this.isSettled) return
    this.isCutOff = false
    this.isForgotten = true
    while (this.isSettled && this.waiting.length > 0) this.tellOne(this.waiting.shift()!)
  }
}

type Event =
  | { readonly is: "sent"; readonly how: Manner }
  | { readonly is: "abandoned"; readonly one: number }
  | { readonly is: "waits"; readonly sends: Manner | undefined }
  | { readonly is: "answered" | "ready" | "cut off" | "cancel sent" | "cancel taken" | "ended" }

const how = fc.constantFrom(statement, commit, read, write)

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ is: fc.constant("sent" as const), how }) },
  { weight: 3, arbitrary: fc.record({ is: fc.constant("abandoned" as const), one: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ is: fc.constant("waits" as const), sends: fc.option(how, { nil: undefined }) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      is: fc.constantFrom(
        ...["answered", "answered", "ready", "ready", "cut off", "cancel sent", "cancel taken"] as const
      )
    })
  },
  { weight: 1, arbitrary: fc.record({ is: fc.constant("ended" as const) }) }
)

it("R16: R22: it counts as a list of all queries would, whatever happens", () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const { end, flight, ready, send } = makeFlight()
      const model = new Model()
      const told: Array<number> = []
      const happens = (event: Event, id: number): void => {
        switch (event.is) {
          case "sent":
            model.send(event.how)
            send(event.how)
            return
          case "abandoned": {
            const query = model.pending[event.one]
            if (query === undefined || query.isAbandoned || query.how.onInterrupt === "leave") return
            query.isAbandoned = true
            flight.abandon()
            return
          }
          case "answered": {
            const [query] = model.pending
            if (query === undefined) return
            query.isAnswered = true
            flight.answered(query.how, query.isAbandoned)
            return
          }
          case "waits":
            model.wait(id, event.sends)
            flight.onceSettled(() => {
              // Nobody is told while something could be hit, or hit something.
              assert.isTrue(flight.isSettled)
              told.push(id)
              if (event.sends !== undefined) send(event.sends)
            })
            return
          case "ready":
            model.isReady = true
            model.tell()
            ready()
            return
          case "cut off":
            if (!model.isQuiet) model.isCutOff = true
            flight.cutOff()
            return
          case "cancel sent":
            model.isCancelled = true
            flight.cancelSent()
            return
          case "cancel taken":
            model.isCancelled = false
            model.tell()
            flight.cancelTaken()
            return
          case "ended":
            model.hasEnded = true
            model.tell()
            end()
        }
      }
      events.forEach((event, id) => {
        happens(event, id)
        const { hasUnbegunWrites, isQuiet, isSettled, runsForNobody } = flight
        expect({ hasUnbegunWrites, isQuiet, isSettled, runsForNobody, told }).toEqual({
          hasUnbegunWrites: model.hasUnbegunWrites,
          isQuiet: model.isQuiet,
          isSettled: model.isSettled,
          runsForNobody: model.runsForNobody,
          told: model.told
        })
        for (const [question, answer] of Object.entries({ hasUnbegunWrites, isQuiet, isSettled, runsForNobody })) {
          seen.add(`${question}: ${answer}`)
        }
      })
    }),
    { numRuns: 500 }
  )
  // It has come to both sides of each question.
  assert.strictEqual(seen.size, 8)
})
