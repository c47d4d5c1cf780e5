/** What a failure means, to the caller and to the session, without a server. */
import { assert, describe, it } from "vitest"
import { Supplanted } from "../../src/internal/postgres/driver/handOver.js"
import type { Note, Situation } from "../../src/internal/postgres/session/outcome.js"
import { outcomeOf } from "../../src/internal/postgres/session/outcome.js"

const server = (code: string, severity = "ERROR", message = "said by the server") =>
  Object.assign(new Error(message), { code, severity })

const system = (syscall: string, code: string) => Object.assign(new Error(`${syscall} ${code}`), { syscall, code })

const alive: Situation = {
  hasEnded: false,
  loss: undefined,
  farewell: undefined,
  isLatest: true,
  isForWriting: false
}
const ended: Situation = { ...alive, hasEnded: true }

const lost = new Error("Connection terminated")
const shutdown = server("57P01", "FATAL")
const heldBack = server("08P01", "FATAL", "query_wait_timeout")

type Told = "NotSent" | "OutcomeUnknown" | "its own words"

const told = (error: unknown, situation: Situation): Told => {
  const { cause } = outcomeOf(error, situation).told
  const tag = typeof cause === "object" && cause !== null && "_tag" in cause ? cause._tag : undefined
  return tag === "NotSent" || tag === "OutcomeUnknown" ? tag : "its own words"
}

/** Why, as the caller can see it. */
const reason = (error: unknown, situation: Situation) =>
  (outcomeOf(error, situation).told.cause as { readonly cause?: unknown }).cause

describe("R22: what a failure means", () => {
  const table: Record<string, [error: unknown, situation: Situation, told: Told, notes: ReadonlyArray<Note>]> = {
    "an error of the statement": [server("23505"), alive, "its own words", []],
    "an error of the statement, and then the connection was lost": [server("23505"), ended, "its own words", []],

    "a statement that raises what a shutdown says": [server("57P01"), alive, "its own words", []],
    "a shutdown before the socket has closed": [shutdown, alive, "its own words", []],
    "a shutdown": [shutdown, ended, "its own words", ["farewell"]],
    "a shutdown that is said in another language": [server("57P01", "FATALE"), ended, "its own words", ["farewell"]],

    "a crash": [server("57P02", "FATAL"), ended, "OutcomeUnknown", []],
    "a crash that was raised": [server("57P02"), alive, "OutcomeUnknown", []],
    "the server does not know either": [server("40003"), alive, "OutcomeUnknown", []],
    "words that do not say what became of it": [server("XX000", "FATAL"), ended, "OutcomeUnknown", []],
    "these words in another language, of a session that has ended": [
      server("XX000", "PANIQUE"),
      ended,
      "OutcomeUnknown",
      []
    ],
    "these words of a statement whose session lives": [server("XX000"), alive, "its own words", []],

    "nothing can be written, where that is needed": [
      server("25006"),
      { ...alive, isForWriting: true },
      "its own words",
      ["wrong role"]
    ],
    "nothing can be written, where that is not needed": [server("25006"), alive, "its own words", []],
    "something else, where one has to write": [server("23505"), { ...alive, isForWriting: true }, "its own words", []],

    "a pooler has no session of the server": [heldBack, ended, "NotSent", ["farewell", "held back", "lost"]],
    "a pooler has none, and its socket is still open": [heldBack, alive, "NotSent", ["held back", "lost"]],
    "a statement that raises the words of a pooler": [
      server("08P01", "ERROR", "query_wait_timeout"),
      alive,
      "its own words",
      []
    ],
    "other words of a pooler": [server("08P01", "FATAL", "server conn crashed?"), ended, "OutcomeUnknown", []],

    "the session had done nothing for too long": [server("57P05", "FATAL"), ended, "NotSent", ["farewell", "lost"]],
    "the same in another language": [server("57P05", "FATALE"), alive, "NotSent", ["lost"]],
    "a statement that raises the same": [server("57P05"), alive, "its own words", []],

    "lost behind a query that has heard the last words": [
      lost,
      { ...ended, farewell: shutdown, loss: lost },
      "NotSent",
      []
    ],
    "lost, and no last words": [lost, { ...ended, loss: lost }, "OutcomeUnknown", []],

    "the socket did not take it": [system("write", "EPIPE"), ended, "NotSent", []],
    "the socket did not take what came behind it": [
      system("write", "EPIPE"),
      { ...ended, isLatest: false },
      "OutcomeUnknown",
      []
    ],
    "the socket was read to its end": [system("read", "ECONNRESET"), ended, "OutcomeUnknown", []],

    "something else was sent": [new Supplanted(), alive, "OutcomeUnknown", []],
    "something else was sent, and then the connection was lost": [new Supplanted(), ended, "OutcomeUnknown", []],

    "an error of the driver": [new Error("can't serialise"), alive, "its own words", []],
    "an error of the driver, and the session has ended": [new Error("can't serialise"), ended, "OutcomeUnknown", []]
  }
  for (const [name, [error, situation, expected, notes]] of Object.entries(table)) {
    it(`R22: ${name}`, () => {
      assert.strictEqual(told(error, situation), expected)
      assert.deepStrictEqual(outcomeOf(error, situation).notes, notes)
    })
  }

  it("R22: the reason is how the connection was lost, where that is known", () => {
    const write = system("write", "EPIPE")
    const withLoss = { ...ended, loss: lost }
    assert.strictEqual(reason(new Error("late"), withLoss), lost)
    assert.strictEqual(reason(write, withLoss), lost)
    assert.strictEqual(reason(write, ended), write)
    assert.strictEqual(reason(lost, { ...ended, farewell: shutdown }), shutdown)
    // The pooler's words are the reason, whatever was heard before.
    assert.strictEqual(reason(heldBack, withLoss), heldBack)
  })

  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const unknown: Record<string, unknown> = {
    "null": null,
    undefined,
    "a text": "lost",
    "a number": 42,
    "no prototype": Object.create(null),
    "a severity that is all": { severity: "FATAL" },
    "a code that is no text": { severity: "FATAL", code: 57 },
    "a SQLSTATE without a severity": { code: "57P05" },
    "a failed system call without a code": { syscall: "write" },
    "a system call that is unknown": system("shutdown", "ENOTCONN"),
    "a code that PostgreSQL does not have": server("ZZ999", "FATAL"),
    "a severity that PostgreSQL does not have": server("08P01", "", "query_wait_timeout")
  }
  for (const [name, error] of Object.entries(unknown)) {
    it(`R22: an unknown failure is never retried: ${name}`, () => {
      for (const situation of [alive, ended, { ...ended, loss: lost }, { ...ended, isLatest: false }]) {
        assert.notStrictEqual(told(error, situation), "NotSent")
      }
      if (!(error instanceof Error && "severity" in error)) {
        assert.strictEqual(told(error, ended), "OutcomeUnknown")
        assert.strictEqual(told(error, alive), "its own words")
      }
      // Only behind last words it can have had no effect, whatever it is.
      assert.deepStrictEqual(outcomeOf(error, alive).notes, [])
    })
  }

  it("R22: a failure that can't be read is told all the same", () => {
    assert.doesNotThrow(() => outcomeOf(proxy, ended))
    assert.strictEqual(told(proxy, ended), "OutcomeUnknown")
  })
})
