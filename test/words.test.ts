/** What is said of a failure, whatever a program fails with. */
import { assert, describe, it } from "vitest"
import { oneLine, wordsOf } from "../src/internal/words.js"

const itself = new Error("it is its own cause")
itself.cause = itself

const first = new Error("first")
first.cause = new Error("second", { cause: first })

const { proxy, revoke } = Proxy.revocable({}, {})
revoke()

const unreadable = Object.defineProperty(new Error(), "message", {
  get: () => {
    throw new Error("no message")
  }
})

const deep = Array.from({ length: 1000 }).reduce((inner: unknown) => new AggregateError([inner, inner]), new Error("x"))

describe("R32: wordsOf", () => {
  const failures: Record<string, [failure: unknown, words: string]> = {
    "an error with causes": [new Error("a", { cause: new Error("b", { cause: new Error("c") }) }), "a: b: c"],
    "one that says what its cause says": [new Error("a: b", { cause: new Error("b") }), "a: b"],
    "several at once": [new AggregateError([new Error("a"), new Error("b"), new Error("a")]), "a; b"],
    "its own cause": [itself, "it is its own cause"],
    "a circle": [first, "first: second"],
    "a code": [Object.assign(new Error(), { code: "ECONNREFUSED" }), "ECONNREFUSED"],
    "a text": ["not now", "not now"],
    "no message that is a text": [Object.assign(new Error(), { message: 42 }), "42"],
    "null": [null, "null"],
    "a symbol": [Symbol("s"), "Symbol(s)"],
    "no prototype": [Object.create(null), "a failure that can't be read"],
    "a message that throws": [unreadable, "a failure that can't be read"],
    "a revoked proxy": [proxy, "a failure that can't be read"]
  }
  for (const [name, [failure, words]] of Object.entries(failures)) {
    it(name, () => assert.strictEqual(wordsOf(failure), words))
  }

  it("of a thousand levels of several at once ends", () => assert.isBelow(wordsOf(deep).length, 1000))
})

describe("R32: oneLine", () => {
  it("has no line breaks, nor blanks around them", () => assert.strictEqual(oneLine(" a \n\n  b c\r\n d "), "a b c d"))
})
