import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { PgPool } from "effect-pgpool"
import { PgError } from "effect-pgpool"
import * as Pg from "pg"
import { vi } from "vitest"
import { makePool, serverUrl } from "../support/pgPool.js"
import { refusalOf, taken } from "../support/targetUrl.js"

describe("R26: the environment of the process, and pg.defaults", () => {
  const env = (entries: Record<string, string>) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        for (const [key, value] of Object.entries(entries)) vi.stubEnv(key, value)
      }),
      () => Effect.sync(() => vi.unstubAllEnvs())
    )
  const defaults = (entries: Record<string, unknown>) => {
    const before = { ...Pg.defaults }
    return Effect.acquireRelease(
      Effect.sync(() => void Object.assign(Pg.defaults, entries)),
      () => Effect.sync(() => void Object.assign(Pg.defaults, before))
    )
  }

  for (const mode of ["verify_full", "VERIFY-FULL", "on", "true"]) {
    it.scoped(`PGSSLMODE=${mode} is refused by name`, () =>
      Effect.gen(function*() {
        yield* env({ PGSSLMODE: mode })
        const message = refusalOf("postgres://ada:s3cret@db/shop")
        assert.include(message, "PGSSLMODE")
        assert.include(message, mode)
      }))
  }

  it.scoped("PGSSLMODE is for who says nothing else, and weakens nobody", () =>
    Effect.gen(function*() {
      const sslOf = (query = "", options?: PgPool.PgPoolOptions) =>
        taken(`postgres://db/shop?${query}`, options).client["ssl"]
      for (const weak of ["disable", "allow", "no-verify", ""]) {
        yield* env({ PGSSLMODE: weak })
        assert.isTrue(sslOf("", { ssl: true }))
        assert.isTrue(sslOf("ssl=true"))
        assert.notProperty(sslOf("sslmode=verify-full"), "rejectUnauthorized")
        assert.deepStrictEqual(sslOf(), weak === "no-verify" ? sslOf("ssl=no-verify") : false)
      }
      for (const strong of ["prefer", "require", "verify-ca", "verify-full"]) {
        yield* env({ PGSSLMODE: strong })
        assert.isTrue(sslOf())
        assert.isFalse(sslOf("sslmode=disable"))
      }
    }))

  it.scoped("PGSSLNEGOTIATION", () =>
    Effect.gen(function*() {
      yield* env({ PGSSLNEGOTIATION: "direct" })
      assert.deepInclude(taken("postgres://db/shop").client, { ssl: true, sslnegotiation: "direct" })
      const options = { sslNegotiation: "postgres" } as const
      assert.deepInclude(taken("postgres://db/shop", options).client, { ssl: false, sslnegotiation: "postgres" })
      yield* env({ PGSSLNEGOTIATION: "Direct" })
      assert.include(refusalOf("postgres://db/shop"), "PGSSLNEGOTIATION")
    }))

  it.scoped("PGOPTIONS, where the URL has none", () =>
    Effect.gen(function*() {
      yield* env({ PGOPTIONS: "-c work_mem=77kB", PGBINARY: "true", PGQUERY_TIMEOUT: "5", PGCONNECT_TIMEOUT: "1" })
      assert.strictEqual(taken("postgres://db/shop").client["options"], "-c work_mem=77kB")
      assert.strictEqual(taken("postgres://db/shop?options=-c%20a=b").client["options"], "-c a=b")
    }))

  it.scopedLive("pg.defaults: times are taken, and none of them by the driver; values come as text", () =>
    Effect.gen(function*() {
      yield* defaults({ query_timeout: 1000, statement_timeout: 9000, binary: true })
      const { sql } = yield* makePool({})
      const error = yield* Effect.flip(sql`SELECT pg_sleep(30)`)
      assert.isTrue(PgError.isOutcomeUnknown(error))
      assert.deepStrictEqual(
        yield* sql`SELECT ${"2"}::numeric AS x, current_setting('statement_timeout') AS t`,
        [{ x: "2", t: "9s" }]
      )
      const target = taken(Redacted.value(serverUrl), { queryTimeout: "7 seconds" }).target
      assert.strictEqual(target.queryTimeout, 7000)
      assert.include(target.warnings.join(), "pg.defaults.binary")
    }))

  it.scoped("pg.defaults: host, port and TLS are as pg has them", () =>
    Effect.gen(function*() {
      yield* defaults({ host: "elsewhere", port: 5439, ssl: true })
      const { client, hosts } = taken("postgres:///shop")
      assert.deepStrictEqual([hosts, client["ssl"]], [["elsewhere 5439"], true])
    }))
})
