/** @internal */
import type { ClientConfig } from "pg"
import type { Requirement } from "../config/requireAuth.js"
import { whenSecure } from "./handshake.js"
import { guardLogin } from "./loginGuard.js"
import type { Client } from "./pg.js"
import { newClient } from "./pg.js"

/**
 * Makes a client of `pg` that does what the settings say and nothing else. By itself it would also read `pg.defaults`,
 * which are for all clients of the process: with `query_timeout` it would answer in the server's place, and with `binary`
 * it garbles values.
 *
 * @internal
 */
export const makeClient = (settings: ClientConfig, requirement: Requirement | undefined): Client => {
  const client = newClient(settings)
  for (const name of timeouts) client.connectionParameters[name] = settings[name] ?? false
  client.binary = false
  const { connection } = client
  const startup = connection.startup.bind(connection)
  connection.startup = (settings) =>
    connection.ssl === false ? startup(settings) : whenSecure(connection, () => startup(settings))
  if (requirement !== undefined) guardLogin(connection, requirement)
  return client
}

const timeouts = [
  "query_timeout",
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout"
] as const
