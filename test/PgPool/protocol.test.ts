import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { PgError } from "effect-pgpool"
import { eventually, makePool, serverUrl } from "../support/pgPool.js"
import * as Proxy from "../support/proxy.js"

/** Each changes the row in an answer. */
const violations: Record<string, (answer: Buffer, row: number) => void> = {
  "a message of an unknown kind": (answer, row) => {
    answer[row] = 0xff
  },
  "a row that ends too early": (answer, row) => {
    answer.writeInt16BE(99, row + 5)
  }
}

const positionOfRow = (answer: Buffer): number => {
  let at = 0
  while (at + 5 < answer.length && answer[at] !== "D".charCodeAt(0)) at += 1 + answer.readInt32BE(at + 1)
  return at + 5 < answer.length ? at : -1
}

describe("R17 a server that does not speak the protocol", () => {
  for (const multiplex of [false, true]) {
    for (const [name, violate] of Object.entries(violations)) {
      it.scopedLive(`R17, R22 ${name}: the outcome is unknown, and the connection is given up${multiplex ? " (multiplex)" : ""}`, () =>
        Effect.gen(function*() {
          const proxy = yield* Proxy.start(serverUrl)
          const { pool, sql } = yield* makePool({ url: proxy.url, maxsize: 1, maxoverflow: 1, multiplex })
          yield* sql`SELECT 1`
          proxy.onAnswer = (answer) => {
            const changed = Buffer.from(answer)
            const row = positionOfRow(changed)
            if (row >= 0) violate(changed, row)
            return changed
          }
          const error = yield* Effect.flip(sql`SELECT 1 AS one`)
          assert.isTrue(PgError.isOutcomeUnknown(error))
          yield* eventually(pool.stats, ({ closed }) => closed.invalidated === 1)
          proxy.onAnswer = (answer) => answer
          assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
        }))
    }
  }
})
