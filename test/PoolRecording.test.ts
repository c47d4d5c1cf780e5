import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Chunk, Deferred, Effect, Fiber, Schema, Sink, Stream, TestClock } from "effect"
import type { PoolEvent } from "effect-pgpool"
import { PoolRecording } from "effect-pgpool"
import { areAll } from "./support/areAll.js"
import { FakeResource, settle } from "./support/fakeResource.js"
import { makeClosable, makePool } from "./support/testPool.js"

const header: PoolRecording.Header = { _tag: "Header", version: 1, name: "shop", began: 5, maxsize: 2, maxoverflow: 3 }
const loan: PoolRecording.Loan = { _tag: "Loan", asked: 7, waited: 1, held: 2, outcome: "returned", span: "report" }

const textOf = (...lines: ReadonlyArray<PoolRecording.Line>) =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join("")

/** Reads a text that comes in pieces of `size` bytes. */
const read = (text: string, size = 1000) => {
  const bytes = new TextEncoder().encode(text)
  const pieces = Array.from(
    { length: Math.ceil(bytes.length / size) },
    (_, i) => bytes.subarray(i * size, (i + 1) * size)
  )
  return Effect.map(Stream.runCollect(PoolRecording.decode(Stream.fromIterable(pieces))), Chunk.toReadonlyArray)
}

const messageFor = (text: string) => Effect.map(Effect.flip(read(text)), ({ message }) => message)

/** What a pool would give that has these loans. */
const recordable = (
  loans: Stream.Stream<PoolEvent.Loan | PoolEvent.Dropped>,
  events: Stream.Stream<PoolEvent.PoolEvent> = Stream.empty
) =>
  Effect.map(makePool({ ...new FakeResource().options, maxsize: 2, maxoverflow: 3, name: "shop" }), ({ stats }) => ({
    stats,
    loans,
    events
  }))

const written = (pool: PoolRecording.Recordable) => Stream.run(PoolRecording.lines(pool), Sink.mkString)

describe("R39: a recording", () => {
  it.scoped.prop(
    "reads back as it was written, however it comes in pieces",
    [Arbitrary.make(Schema.Array(Schema.Union(PoolRecording.Loan, PoolRecording.Dropped))), Arbitrary.make(Schema.Int)],
    ([lines, n]) =>
      Effect.gen(function*() {
        const told = lines.map((line) => line._tag === "Loan" ? { span: undefined, ...line, at: 0 } : line)
        const text = yield* written(yield* recordable(Stream.fromIterable(told)))
        const [first, ...rest] = yield* read(text, 1 + Math.abs(n) % 70)
        assert.deepInclude(first, { ...header, began: 0 })
        // What is undefined, or a zero below zero, is another thing in JSON.
        assert.deepStrictEqual(rest, JSON.parse(JSON.stringify(lines)))
      })
  )

  it.scoped("of a pool at work: each caller, from its beginning to its end", () =>
    Effect.gen(function*() {
      const options = { ...new FakeResource().options, name: "shop", maxsize: 2, maxoverflow: 3, acquireTimeout: 100 }
      const { close, pool } = yield* makeClosable(options)
      const recording = yield* Effect.fork(written(pool))
      yield* settle
      for (let i = 0; i < 20; i++) {
        yield* Effect.fork(Effect.withSpan(pool.use(() => Effect.sleep(i * 10)), `work ${i}`))
        yield* settle
      }
      for (let i = 0; i < 20; i++) yield* TestClock.adjust(100)
      yield* close
      const lines = yield* read(yield* Fiber.join(recording))
      assert.deepStrictEqual(lines[0], { ...header, began: 0 })
      const loans = lines.filter((line): line is PoolRecording.Loan => line._tag === "Loan")
      assert.lengthOf(loans, 20)
      const { acquired, refused } = yield* pool.stats
      assert.isAbove(refused.acquireTimeout, 0)
      assert.lengthOf(loans.filter(({ outcome }) => outcome === "acquireTimeout"), refused.acquireTimeout)
      const served = loans.filter(({ outcome }) => outcome === "returned")
      assert.lengthOf(served, acquired)
      assert.isTrue(areAll(served, ({ held, span }) => span === `work ${held / 10}`))
      assert.isTrue(areAll(loans, ({ asked, waited }) => asked === 0 && waited <= 100))
    }))

  it.scoped("the header comes first, and nothing is missed while it is written", () =>
    Effect.gen(function*() {
      const pool = yield* makePool({ ...new FakeResource().options, maxsize: 2 })
      const isWritten = yield* Deferred.make<void>()
      const lines: Array<string> = []
      // A sink that takes its time for the first line.
      const write = (line: string) =>
        Effect.zipRight(
          Effect.sync(() => lines.push(line)),
          lines.length === 1 ? Deferred.await(isWritten) : Effect.void
        )
      yield* Effect.forkScoped(Stream.run(PoolRecording.lines(pool), Sink.forEach(write)))
      yield* settle
      yield* pool.use(() => Effect.void)
      yield* Deferred.succeed(isWritten, undefined)
      yield* settle
      assert.match(lines.join(""), /^\{"_tag":"Header".*\}\n\{"_tag":"Loan".*\}\n$/)
    }))

  it.scoped("of a pool that is resized: its limits, from the beginning on", () =>
    Effect.gen(function*() {
      const options = { ...new FakeResource().options, name: "shop", maxsize: 2, maxoverflow: 3 }
      const { close, pool } = yield* makeClosable(options)
      const recording = yield* Effect.fork(written(pool))
      yield* settle
      yield* pool.use(() => Effect.void)
      yield* TestClock.adjust(10)
      yield* pool.resize({ maxsize: 3, maxoverflow: 8 })
      yield* pool.resize({ maxoverflow: 9 })
      yield* TestClock.adjust(10)
      yield* pool.use(() => Effect.void)
      yield* settle
      yield* close
      const lines = yield* read(yield* Fiber.join(recording))
      assert.deepStrictEqual(lines[0], { ...header, began: 0 })
      assert.deepStrictEqual(lines.filter(({ _tag }) => _tag === "Resized"), [
        { _tag: "Resized", at: 10, maxsize: 3, maxoverflow: 8 },
        { _tag: "Resized", at: 10, maxsize: 3, maxoverflow: 9 }
      ])
      assert.lengthOf(lines.filter(({ _tag }) => _tag === "Loan"), 2)
    }))

  it.scoped("no resize is missed: what it was too slow for may have been one, and it listens before it reads the limits", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const noting = <A, E>(what: string, effect: Effect.Effect<A, E>) =>
        Effect.zipRight(Effect.sync(() => order.push(what)), effect)
      const dropped = Stream.make<[PoolEvent.PoolEvent]>({ _tag: "Dropped", at: 5, count: 3 })
      const pool = yield* recordable(
        Stream.unwrap(noting("loans", Effect.succeed(Stream.empty))),
        Stream.unwrap(noting("events", Effect.succeed(dropped)))
      )
      const text = yield* written({ ...pool, stats: noting("stats", pool.stats) })
      assert.strictEqual(order[0], "events")
      assert.deepStrictEqual((yield* read(text)).slice(1), [{ _tag: "Resized", at: 5, maxsize: 2, maxoverflow: 3 }])
    }))

  it.scoped("what it was too slow for is in it", () =>
    Effect.gen(function*() {
      const { close, pool } = yield* makeClosable({ ...new FakeResource().options, maxsize: 1 })
      const mayGoOn = yield* Deferred.make<void>()
      const sink = Sink.foldLeftEffect("", (text, line: string) => Effect.as(Deferred.await(mayGoOn), text + line))
      const recording = yield* Effect.fork(Stream.run(PoolRecording.lines(pool), sink))
      yield* settle
      for (let i = 0; i < 5000; i++) yield* pool.use(() => Effect.void)
      yield* Deferred.succeed(mayGoOn, undefined)
      yield* settle
      yield* close
      const lines = yield* read(yield* Fiber.join(recording))
      const dropped = lines.filter((line): line is PoolRecording.Dropped => line._tag === "Dropped")
      const missing = dropped.reduce((sum, { count }) => sum + count, 0)
      assert.isAbove(missing, 0)
      assert.lengthOf(lines, 1 + dropped.length + 5000 - missing)
    }))

  it.effect("half a line at its end is told, and all before it is read", () =>
    Effect.gen(function*() {
      const whole = textOf(header, loan, loan)
      assert.deepStrictEqual(yield* read(whole), [header, loan, loan])
      // The last line, without its end.
      assert.deepStrictEqual(yield* read(whole.slice(0, -1)), [header, loan, loan])
      const last = JSON.stringify(loan).length
      for (let missing = 1; missing < last; missing++) {
        const lines = yield* read(whole.slice(0, -1 - missing))
        assert.deepStrictEqual(lines, [header, loan, { _tag: "CutShort", line: 3 }])
      }
      assert.deepStrictEqual(yield* read(whole.slice(0, 10)), [{ _tag: "CutShort", line: 1 }])
    }))

  it.effect("what is wrong with a file is said, with the line", () =>
    Effect.gen(function*() {
      const whole = textOf(header, loan)
      assert.strictEqual(
        yield* messageFor(textOf({ ...header, version: 2 as 1 })),
        "Line 1 of the recording: the recording has version 2 of the format, and this effect-pgpool reads version 1; " +
          "read it with the effect-pgpool that has written it"
      )
      assert.strictEqual(
        yield* messageFor(""),
        "Line 1 of the recording: the file is empty, and a recording begins with a header"
      )
      const noHeader = "Line 1 of the recording: it is no header, so the file is no recording of a pool"
      for (const text of [textOf(loan), "[]\n", "null\n"]) assert.strictEqual(yield* messageFor(text), noHeader)
      assert.strictEqual(
        yield* messageFor(`${whole}hello\n${whole}`),
        "Line 3 of the recording: it is no JSON: \"hello\""
      )
      assert.strictEqual(yield* messageFor(`${whole}\n${whole}`), "Line 3 of the recording: it is no JSON: \"\"")
      assert.strictEqual(
        yield* messageFor(whole + whole),
        "Line 3 of the recording: another recording begins here; read each by itself"
      )
      const negative = yield* messageFor(whole + textOf({ ...loan, waited: -1 }))
      assert.match(negative, /^Line 3 of the recording: waited: Expected a non-negative number, actual -1$/)
      const unknown = yield* messageFor(whole + textOf({ ...loan, outcome: "lost" as "failed" }))
      assert.match(unknown, /^Line 3 of the recording: outcome: .*"lost"/)
      assert.match(yield* messageFor(`${JSON.stringify({ ...header, maxsize: "2" })}\n`), /^Line 1 .*: maxsize: .*"2"/)
    }))

  it.scoped("in a file: what is there already is not touched, and what an interrupt leaves can be read", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/pool.ndjson`
      const pool = yield* recordable(Stream.concat(Stream.make({ at: 10, ...loan, span: "report" }), Stream.never))
      const recording = yield* Effect.fork(PoolRecording.record(pool, path))
      yield* Effect.repeat(Effect.orElseSucceed(fs.readFileString(path), () => ""), {
        until: (text) => text.includes("Loan")
      })
      yield* Fiber.interrupt(recording)
      const lines = Chunk.toReadonlyArray(yield* Stream.runCollect(PoolRecording.read(path)))
      assert.deepStrictEqual(lines.slice(1), [loan])
      const refused = yield* Effect.flip(PoolRecording.record(pool, path))
      assert.deepInclude(refused, { _tag: "SystemError", reason: "AlreadyExists" })
      assert.lengthOf(yield* Stream.runCollect(PoolRecording.read(path)), 2)
      const missing = yield* Effect.flip(Stream.runDrain(PoolRecording.read(`${path}.old`)))
      assert.deepInclude(missing, { _tag: "SystemError", reason: "NotFound" })
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.live("is read line by line, however long it is", () =>
    Effect.gen(function*() {
      const line = new TextEncoder().encode(textOf(loan))
      // Without an end.
      let made = 0
      const bytes = Stream.concat(
        Stream.make(new TextEncoder().encode(textOf(header))),
        Stream.repeatEffect(Effect.sync(() => (made++, line)))
      )
      const first = yield* Stream.runCollect(Stream.take(PoolRecording.decode(bytes), 1000))
      assert.lengthOf(first, 1000)
      assert.isBelow(made, 10_000)
    }))
})
