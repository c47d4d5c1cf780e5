import { Command, CommandExecutor, FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { PgMigrator } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, HashMap, Layer, Option, Redacted, Stream, String as Str } from "effect"
import { PgPool } from "effect-pgpool"
import { existsSync } from "node:fs"
import { makeDatabase, makeSchema } from "../support/ecosystem.js"
import { eventually, uniqueName, watch } from "../support/pgPool.js"
import * as Postgres from "../support/postgres.js"

type Migrations = Parameters<typeof PgMigrator.fromRecord>[0]

const migrate = (migrations: Migrations, schemaDirectory?: string) =>
  PgMigrator.run({
    loader: PgMigrator.fromRecord(migrations),
    ...(schemaDirectory === undefined ? {} : { schemaDirectory })
  })

const run = (statement: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(statement))

const create = { "0001_create_people": run("CREATE TABLE people (name text)") }
const fill = { "0002_fill_people": run("INSERT INTO people VALUES ('Ada')") }
const grow = { "0010_grow_people": run("ALTER TABLE people ADD COLUMN nick_name text") }

const layerOf = (url: Redacted.Redacted, options?: PgPool.PgPoolOptions) =>
  Layer.merge(PgPool.layer({ url, ...options }), NodeContext.layer)

const withNames = { transformResultNames: Str.snakeToCamel, transformQueryNames: Str.camelToSnake }

describe("R31: PgMigrator", () => {
  it.scopedLive("runs in order what was not run before", () =>
    Effect.gen(function*() {
      const url = yield* makeSchema
      const server = yield* watch(url)
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(yield* migrate({ ...fill, ...create }), [[1, "create_people"], [2, "fill_people"]])
        assert.deepStrictEqual(yield* migrate({ ...fill, ...create }), [])
        assert.deepStrictEqual(yield* migrate({ ...grow, ...fill, ...create }), [[10, "grow_people"]])
      }).pipe(Effect.provide(layerOf(url, withNames)))
      assert.deepStrictEqual(yield* server.query("SELECT * FROM people"), [{ name: "Ada", nick_name: null }])
      assert.deepStrictEqual(
        yield* server.query("SELECT migration_id AS id, name FROM effect_sql_migrations ORDER BY id"),
        [
          { id: 1, name: "create_people" },
          { id: 2, name: "fill_people" },
          { id: 10, name: "grow_people" }
        ]
      )
    }))

  it.scopedLive("as a layer, before the program that needs the tables", () =>
    Effect.gen(function*() {
      const url = yield* makeSchema
      const MigratorLive = PgMigrator.layer({ loader: PgMigrator.fromRecord({ ...create, ...fill }) })
      const rows = yield* run("SELECT name FROM people").pipe(
        Effect.provide(Layer.provideMerge(MigratorLive, layerOf(url)))
      )
      assert.deepStrictEqual(rows, [{ name: "Ada" }])
    }))

  it.scopedLive("two services that migrate at the same time: each migration runs once", () =>
    Effect.gen(function*() {
      const url = yield* makeSchema
      const server = yield* watch(url)
      yield* Effect.provide(migrate(create), layerOf(url))
      const apps = [uniqueName(), uniqueName()]
      // It goes on when the other service has come as far as the lock.
      const meet = {
        "0002_meet": eventually(
          server.query(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = ANY ($1) AND wait_event_type = 'Lock'",
            [apps]
          ),
          (waiting) => waiting.length === 1
        )
      }
      const add = { "0003_add": run("INSERT INTO people VALUES ('Grace')") }
      const completed = yield* Effect.forEach(
        apps,
        (applicationName) =>
          Effect.provide(migrate({ ...create, ...meet, ...add } as Migrations), layerOf(url, { applicationName })),
        { concurrency: "unbounded" }
      )
      assert.sameDeepMembers(completed.map((migrations) => [...migrations]), [[[2, "meet"], [3, "add"]], []])
      assert.deepStrictEqual(yield* server.query("SELECT name FROM people"), [{ name: "Grace" }])
    }))

  it.scopedLive("a failing migration undoes all of its run, and the next run does it again", () =>
    Effect.gen(function*() {
      const url = yield* makeSchema
      const server = yield* watch(url)
      yield* Effect.gen(function*() {
        yield* migrate(create)
        const exit = yield* Effect.exit(
          migrate({ ...create, ...fill, "0003_bad": run("ALTER TABLE nothing ADD a int") })
        )
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.deepInclude(error, { _tag: "MigrationError", message: `Migration "3_bad" failed` })
        assert.deepStrictEqual(yield* server.query("SELECT * FROM people"), [])
        assert.deepStrictEqual(yield* server.query("SELECT name FROM effect_sql_migrations"), [
          { name: "create_people" }
        ])
        const pool = yield* PgPool.PgPool
        assert.deepInclude(yield* pool.stats, { busy: 0, size: 1, opened: 1 })
        assert.deepStrictEqual(yield* migrate({ ...create, ...fill }), [[2, "fill_people"]])
      }).pipe(Effect.provide(layerOf(url)))
      assert.deepStrictEqual(yield* server.query("SELECT name FROM people"), [{ name: "Ada" }])
    }))
})

/** Migrates an empty database and has its schema dumped. Gives the commands that were run, and what was written. */
const dump = Effect.fnUntraced(function*(url: Redacted.Redacted) {
  const commands: Array<Command.StandardCommand> = []
  const Recorded = Layer.effect(
    CommandExecutor.CommandExecutor,
    Effect.map(CommandExecutor.CommandExecutor, ({ start }) =>
      CommandExecutor.makeExecutor((command) => {
        commands.push(Command.flatten(command)[0])
        return start(command)
      }))
  )
  const written = yield* Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const folder = yield* files.makeTempDirectoryScoped()
    assert.lengthOf(yield* migrate({ ...create, ...fill }, `${folder}/schema`), 2)
    return yield* Effect.option(files.readFileString(`${folder}/schema/_schema.sql`))
  }).pipe(Effect.provide([Recorded.pipe(Layer.provideMerge(NodeContext.layer)), PgPool.layer({ url })]))
  return { url: new URL(Redacted.value(url)), commands, written }
})

/** What a command complains of. */
const complaintOf = (command: Command.Command) =>
  Effect.flatMap(Command.start(command), ({ stderr }) => Stream.mkString(Stream.decodeText(stderr)))

describe("R31: PgMigrator's dump of the schema", () => {
  it.scopedLive("pg_dump is given what the URL holds", () =>
    Effect.gen(function*() {
      const database = yield* makeDatabase
      const url = new URL(Redacted.value(database))
      const { commands } = yield* dump(database)
      assert.sameDeepMembers(commands.map(({ args, command }) => [command, ...args]), [
        ["pg_dump", "--schema-only", "--no-owner", "--no-privileges"],
        ["pg_dump", "--column-inserts", "--data-only", "--table=effect_sql_migrations", "--no-owner", "--no-privileges"]
      ])
      for (const { env } of commands) {
        assert.deepStrictEqual(Object.fromEntries(HashMap.remove(env, "PATH")), {
          PGHOST: url.hostname,
          PGPORT: url.port,
          PGUSER: url.username,
          PGPASSWORD: url.password,
          PGDATABASE: url.pathname.slice(1),
          PGSSLMODE: "prefer"
        })
      }
    }))

  it.scopedLive("a real pg_dump gets in with it, and what it says is written", (context) =>
    Effect.gen(function*() {
      const version = yield* Effect.option(Command.string(Command.make("pg_dump", "--version")))
      if (Option.isNone(version)) {
        console.warn("SKIPPED: no pg_dump on this machine, so no schema was dumped")
        return context.skip()
      }
      const url = yield* databaseFor(version.value)
      if (url === undefined) {
        console.warn(`SKIPPED: ${version.value.trim()} dumps no server of our version, and there is none of its own`)
        return context.skip()
      }
      const { commands, written } = yield* dump(url)
      // The migrator doesn't look at the exit code.
      assert.strictEqual(yield* complaintOf(commands[0]), "")
      const schema = Option.getOrThrow(written)
      assert.include(schema, "CREATE TABLE public.people")
      assert.match(schema, /INSERT INTO public.effect_sql_migrations \(.*\) VALUES \(2, .*'fill_people'\)/)
      assert.notInclude(schema, "INSERT INTO public.people")
    }).pipe(Effect.provide(NodeContext.layer)))
})

/** An empty database that this pg_dump can dump: it refuses a server that is newer than itself. */
const databaseFor = (dumpVersion: string) =>
  Effect.gen(function*() {
    const server = yield* watch()
    const [{ server_version }] = yield* server.query("SHOW server_version")
    const dumpMajor = Number(/\d+/.exec(dumpVersion)![0])
    if (dumpMajor >= Number.parseInt(server_version)) return yield* makeDatabase
    // Where Debian has the server that came with it.
    const programs = `/usr/lib/postgresql/${dumpMajor}/bin`
    if (!existsSync(`${programs}/postgres`)) return undefined
    const { url } = yield* Postgres.start({ programs })
    return Redacted.make(url)
  })
