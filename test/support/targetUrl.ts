import { assert } from "@effect/vitest"
import { Either, Redacted } from "effect"
import type { PgPool } from "effect-pgpool"
import { decodeTarget } from "../../src/internal/postgres/config/target.js"

export const decode = (url: string, options?: PgPool.PgPoolOptions) =>
  decodeTarget({ ...options, url: Redacted.make(url) }).pipe(Either.map((target) => {
    const { database, password, username } = target.config
    return {
      username,
      password: password && Redacted.value(password),
      database,
      hosts: target.hosts.list.map(({ name, port }) => `${name} ${port}`),
      client: target.client() as Record<string, unknown>,
      target
    }
  }))

export const taken = (url: string, options?: PgPool.PgPoolOptions) =>
  Either.getOrThrowWith(decode(url, options), ({ message }) => new Error(message))

export const refusalOf = (url: string) => {
  const refused = decode(url)
  assert(Either.isLeft(refused), url)
  return refused.left.message
}

/** Nothing of the secrets, whole or cut. */
export const isSilent = (message: string, secrets: ReadonlyArray<string>) => {
  for (const secret of secrets.filter(({ length }) => length > 2)) assert.notInclude(message, secret)
}
