/** A look at a server that goes away and comes back: past every pool, by a session that is opened again when it is lost. */
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import * as pg from "pg"

export interface Session {
  readonly pid: number
  readonly state: string
  readonly query: string
}

export class Admin {
  private client: Promise<pg.Client> | undefined
  private readonly turn = Effect.unsafeMakeSemaphore(1)

  private constructor(private url: string) {}

  static readonly make = (url: Redacted.Redacted): Effect.Effect<Admin, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => new Admin(Redacted.value(url))),
      (admin) => Effect.promise(() => admin.end())
    )

  /** Fails (as a defect) while the server is away. */
  readonly query = (text: string, params: ReadonlyArray<unknown> = []): Effect.Effect<Array<any>> =>
    Effect.promise(async () => (await (await this.connected()).query(text, [...params])).rows).pipe(
      this.turn.withPermits(1)
    )

  readonly sessions = (applicationName: string): Effect.Effect<Array<Session>> =>
    this.query(
      "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = $1 AND backend_type = 'client backend'",
      [applicationName]
    )

  /** From now on it looks at another server. */
  moveTo(url: Redacted.Redacted): void {
    this.client?.then((client) => client.connection.stream.destroy(), () => {})
    this.client = undefined
    this.url = Redacted.value(url)
  }

  private connected(): Promise<pg.Client> {
    return this.client ??= this.connect().catch((error) => {
      this.client = undefined
      throw error
    })
  }

  private async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url, application_name: "fault admin" })
    const lost = () => {
      this.client = undefined
    }
    client.on("error", lost)
    client.on("end", lost)
    await client.connect()
    return client
  }

  private async end(): Promise<void> {
    const client = await this.client?.catch(() => undefined)
    client?.connection.stream.destroy()
  }
}
