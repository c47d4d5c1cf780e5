/** What a case is played on: a server of its own, a way to it that can be broken, a pool and its load. */
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import * as pg from "pg"
import * as Proxy from "../../../src/internal/testing/proxy.js"
import * as Cluster from "../cluster.js"
import * as Postgres from "../postgres.js"
import { uniqueName, within } from "../server.js"
import { Admin } from "./admin.js"
import type { Case } from "./case.js"
import type { Contender, Name } from "./contender.js"
import { contenders } from "./contender.js"
import { Ledger } from "./ledger.js"
import { Load } from "./load.js"

/** Where the password is kept that the server asks for. */
export interface Vault {
  password: string
}

/** What there is before the pool. */
export interface Before {
  readonly server: Postgres.Postgres
  /** What follows it, where the case asks for that. */
  readonly standby: Postgres.Postgres | undefined
  /** Makes the standby the one that is written to and looked at. */
  readonly promote: Effect.Effect<void>
  readonly admin: Admin
  /** Before the server; the pool goes through it where the case says so. */
  readonly proxy: Proxy.Proxy
  readonly vault: Vault
  /** The server's address for the pool's role, past the proxy. */
  readonly url: Redacted.Redacted
  /** The pool's `application_name`. */
  readonly app: string
  /** The pool's connections at most. */
  readonly size: number
  /** Milliseconds that ten connects take without any pool, on this machine at this moment. */
  readonly bare: number
  readonly ledger: Ledger
  /** What the case itself has counted or measured. */
  readonly figures: Record<string, number>
}

export interface Stage extends Before {
  readonly contender: Contender
  readonly load: Load
}

const connections = 10

const bareConnects = (url: string, application_name: string): Effect.Effect<number> =>
  Effect.promise(async () => {
    const since = performance.now()
    const clients = Array.from(
      { length: connections },
      () => new pg.Client({ connectionString: url, application_name })
    )
    await Promise.all(clients.map((client) => client.connect()))
    const took = performance.now() - since
    await Promise.all(clients.map((client) => client.end()))
    return took
  })

/** What was acknowledged must outlive a crash of the server. */
const servers = ({ hasStandby = false, parameters }: Case) =>
  hasStandby
    ? Effect.map(
      Cluster.start({ synchronous: true }),
      ({ primary, promote, standby }) => ({ server: primary, standby, promote })
    )
    : Effect.map(
      Postgres.start({ parameters: { synchronous_commit: "on", ...parameters } }),
      (server) => ({ server, standby: undefined, promote: Effect.void })
    )

export const make = (one: Case, name: Name): Effect.Effect<Stage, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { promote, server, standby } = yield* servers(one)
    const admin = yield* Admin.make(Redacted.make(server.url))
    const vault: Vault = { password: "secret" }
    yield* admin.query(`CREATE ROLE app LOGIN PASSWORD '${vault.password}'`)
    const ledger = yield* Ledger.make(admin)
    const url = new URL(server.url)
    url.username = "app"
    url.password = vault.password
    const direct = Redacted.make(url.href)
    const proxy = yield* Proxy.start(direct)
    const app = uniqueName()
    const bare = yield* bareConnects(url.href, app)
    yield* within(2000, admin.sessions(app), ({ length }) => length === 0)
    const before: Before = {
      server,
      standby,
      promote: Effect.zipRight(promote, Effect.sync(() => standby && admin.moveTo(Redacted.make(standby.url)))),
      admin,
      proxy,
      vault,
      url: direct,
      app,
      size: connections,
      bare,
      ledger,
      figures: {}
    }
    yield* one.arrange?.(before) ?? Effect.void
    const contender = yield* contenders[name]({
      url: yield* one.through?.(before) ?? Effect.succeed(direct),
      applicationName: app,
      size: connections,
      deadline: one.deadline,
      ours: one.ours?.(vault)
    })
    return { ...before, contender, load: new Load(contender, ledger, one.deadline) }
  })
