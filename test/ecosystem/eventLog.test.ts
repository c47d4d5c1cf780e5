import { EventJournal, EventLog, EventLogEncryption, EventLogServer } from "@effect/experimental"
import { SqlEventLogServer } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Context, Effect, Layer } from "effect"
import type { Redacted } from "effect"
import { PgPool } from "effect-pgpool"
import { makeSchema } from "../support/ecosystem.js"

/** A server of its own, with a pool of its own. */
const makeStorage = (url: Redacted.Redacted) =>
  Effect.map(
    Layer.build(
      SqlEventLogServer.layerStorageSubtle({ insertBatchSize: 2 }).pipe(Layer.provide(PgPool.layer({ url })))
    ),
    (context) => Context.get(context, EventLogServer.Storage)
  )

const makeTest = Effect.gen(function*() {
  const url = yield* makeSchema
  return { url, storage: yield* makeStorage(url) }
})

/** All bytes that there are, the last ones first. */
const bytes = Uint8Array.from({ length: 256 }, (_, i) => 255 - i)

const entry = (n: number) =>
  new EventLogServer.PersistedEntry({
    entryId: EventJournal.makeEntryId({ msecs: n }),
    iv: bytes.slice(n, n + 12),
    encryptedEntry: bytes.slice(n)
  })

const [first, second, third, fourth] = [1, 2, 3, 4].map(entry)

/** An entry as it comes back. */
const stored = ({ encryptedEntry, entryId, iv }: EventLogServer.PersistedEntry, sequence: number) => ({
  sequence,
  entryId,
  iv,
  encryptedEntry
})

describe("R31: SqlEventLogServer", () => {
  it.scopedLive("a server has one id, whoever asks for it", () =>
    Effect.gen(function*() {
      const { storage, url } = yield* makeTest
      const id = yield* storage.getId
      assert.lengthOf(id, 16)
      const other = yield* makeStorage(url)
      assert.deepStrictEqual(yield* other.getId, id)
    }))

  it.scopedLive("entries gives what write stored, byte for byte", () =>
    Effect.gen(function*() {
      const { storage } = yield* makeTest
      const all = [stored(first, 1), stored(second, 2), stored(third, 3)]
      assert.deepStrictEqual(yield* storage.write("key", [first, second, third]), all)
      assert.deepStrictEqual(yield* storage.entries("key", 0), all)
      assert.deepStrictEqual(yield* storage.entries("key", 2), all.slice(1))
    }))

  it.scopedLive("what was written before is not written again", () =>
    Effect.gen(function*() {
      const { storage } = yield* makeTest
      yield* storage.write("key", [first])
      assert.deepStrictEqual(yield* storage.write("key", [first]), [stored(first, 1)])
      assert.lengthOf(yield* storage.entries("key", 0), 1)
    }))

  it.scopedLive("the logs of two keys are apart", () =>
    Effect.gen(function*() {
      const { storage } = yield* makeTest
      yield* storage.write("key", [first])
      yield* storage.write("other key", [second])
      assert.deepStrictEqual(yield* storage.entries("key", 0), [stored(first, 1)])
      assert.deepStrictEqual(yield* storage.entries("other key", 0), [stored(second, 1)])
    }))

  it.scopedLive("changes gives what there is, and then what comes", () =>
    Effect.gen(function*() {
      const { storage } = yield* makeTest
      yield* storage.write("key", [first, second, third])
      const changes = yield* storage.changes("key", 2)
      assert.deepStrictEqual(Chunk.toReadonlyArray((yield* changes.takeN(2))[0]), [stored(second, 2), stored(third, 3)])
      yield* storage.write("key", [fourth])
      assert.deepStrictEqual(Chunk.toReadonlyArray((yield* changes.takeN(1))[0]), [stored(fourth, 4)])
    }))

  it.scopedLive("what a client encrypted another client of the same identity can read", () =>
    Effect.gen(function*() {
      const { storage, url } = yield* makeTest
      const identity = EventLog.Identity.makeRandom()
      const encryption = yield* EventLogEncryption.EventLogEncryption
      const event = new EventJournal.Entry({
        id: EventJournal.makeEntryId(),
        event: "Signed",
        primaryKey: "Ada",
        payload: bytes
      })
      const { encryptedEntries: [encryptedEntry], iv } = yield* encryption.encrypt(identity, [event])
      yield* storage.write(identity.publicKey, [
        new EventLogServer.PersistedEntry({ entryId: event.id, iv, encryptedEntry })
      ])
      const other = yield* makeStorage(url)
      const [decrypted] = yield* encryption.decrypt(identity, yield* other.entries(identity.publicKey, 0))
      assert.deepInclude(decrypted.entry, { event: "Signed", primaryKey: "Ada" })
      assert.deepStrictEqual(decrypted.entry.payload, bytes)
    }).pipe(Effect.provide(EventLogEncryption.layerSubtle)))
})
