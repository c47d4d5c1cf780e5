/** @internal */
import type { PgPoolOptions } from "../../../PgPool.js"
import { oneOf } from "../../decode.js"

/** What the user asks of a host. @internal */
export type SessionAttrs = Exclude<PgPoolOptions["targetSessionAttrs"], undefined>

/** What one session must be. Only the dial knows that a standby is preferred. @internal */
export type Role = Exclude<SessionAttrs, "prefer-standby">

const all: ReadonlyArray<SessionAttrs> = [
  "any",
  "read-write",
  "read-only",
  "primary",
  "standby",
  "prefer-standby"
]

/** @internal */
export const decodeSessionAttrs = (value: unknown): SessionAttrs =>
  value === undefined ? "any" : oneOf("targetSessionAttrs", value, all)

/** The role that a session must have, else it is closed again. @internal */
export const roleOf = (attrs: SessionAttrs): Role => attrs === "prefer-standby" ? "any" : attrs

/** Whether a session that cannot write is to be closed. @internal */
export const isForWriting = (attrs: SessionAttrs): boolean => attrs === "read-write" || attrs === "primary"

/** Whether a session is to be closed when its standby was promoted. @internal */
export const isForReading = (attrs: SessionAttrs): boolean => attrs === "read-only" || attrs === "standby"
