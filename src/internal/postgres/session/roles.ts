/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { WrongRole } from "../../../PgError.js"
import type { Role } from "../config/attrs.js"
import type { Wire } from "../driver/pg.js"
import { connectError } from "../errors/errors.js"
import { ask } from "./ask.js"
import type { Session } from "./session.js"

/**
 * What a server tells of itself unasked, from PostgreSQL 14 on, at the start and after each change.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
 *
 * @internal
 */
export interface Reported {
  in_hot_standby?: string
  default_transaction_read_only?: string
}

/** Keeps what the server reports. `onPromotion` is told when a standby has become a primary. @internal */
export const watchRole = (connection: Wire, onPromotion: () => void): Reported => {
  const reported: Reported = {}
  connection.on("parameterStatus", (message: { parameterName: string; parameterValue: string }) => {
    const { parameterName: name, parameterValue: value } = message
    if (name !== "in_hot_standby" && name !== "default_transaction_read_only") return
    const before = reported[name]
    reported[name] = value
    if (name === "in_hot_standby" && before === "on" && value === "off") onPromotion()
  })
  return reported
}

/** The kinds of servers by one of two distinctions: the one that is found when the answer is "on", and the other. */
const distinctions = {
  recovery: { on: "standby", off: "primary", question: "SELECT pg_catalog.pg_is_in_recovery()" },
  readOnly: { on: "read-only", off: "read-write", question: "SHOW transaction_read_only" }
} as const

const distinctionOf = (role: Exclude<Role, "any">) =>
  role === "primary" || role === "standby" ? distinctions.recovery : distinctions.readOnly

/** Fails where a new session's host is not what it has to be. @internal */
export const checkRole = (session: Session, role: Role): Effect.Effect<void, SqlError> => {
  if (role === "any") return Effect.void
  const { default_transaction_read_only: readOnly, in_hot_standby: standby } = session.reported
  if (standby === undefined || readOnly === undefined) return askRole(session, role)
  const isOn = standby === "on" || (distinctionOf(role) === distinctions.readOnly && readOnly === "on")
  return expect(role, isOn)
}

/** A round trip that fails where the session's host is no longer what it has to be. @internal */
export const askRole = (session: Session, role: Role): Effect.Effect<void, SqlError> => {
  if (role === "any") return session.query("SELECT 1", "leave")
  return Effect.flatMap(
    ask(session, distinctionOf(role).question),
    (answer) => expect(role, /^(on|t|true)$/.test(answer))
  )
}

const expect = (role: Exclude<Role, "any">, isOn: boolean): Effect.Effect<void, SqlError> => {
  const { off, on } = distinctionOf(role)
  const found = isOn ? on : off
  return found === role ? Effect.void : Effect.fail(connectError(new WrongRole({ wanted: role, found })))
}
