/** @internal */
import * as Pg from "pg"
import type { Requirement } from "../config/loginGuard.js"
import { guardLogin } from "../config/loginGuard.js"
import { whenSecure } from "../config/tls.js"

/** The parts of `pg`'s client that are not in its types. */
interface Client {
  readonly connectionParameters: Record<string, unknown>
  binary: boolean
  readonly connection: Parameters<typeof guardLogin>[0] & Parameters<typeof whenSecure>[0] & {
    readonly ssl: unknown
    startup: (settings: unknown) => void
  }
}

/**
 * Makes a client of `pg` that does what the settings say and nothing else. It also reads `pg.defaults`, which are for all
 * clients of the process: with `query_timeout` it would answer in the server's place, and with `binary` it garbles values.
 *
 * @internal
 */
export const makeClient = (settings: Pg.ClientConfig, requirement: Requirement | undefined): Pg.Client => {
  const result = new Pg.Client(settings)
  const client = result as unknown as Client
  for (const name of timeouts) client.connectionParameters[name] = settings[name] ?? false
  client.binary = false
  const { connection } = client
  const startup = connection.startup.bind(connection)
  connection.startup = (settings) =>
    connection.ssl === false ? startup(settings) : whenSecure(connection, () => startup(settings))
  if (requirement !== undefined) guardLogin(connection, requirement)
  return result
}

const timeouts = [
  "query_timeout",
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout"
] as const
