/** Servers that are reached in another way than by plain TCP. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { join } from "node:path"
import type { Authority, Certificate } from "./certificates.js"
import { makeAuthority } from "./certificates.js"
import * as Postgres from "./postgres.js"
import { makeFolder, writePrivate } from "./program.js"

/** A server that also listens on a Unix socket, in `folder`. */
export const startOnUnixSocket = Effect.gen(function*() {
  const folder = yield* makeFolder("pgpool-socket-")
  const server = yield* Postgres.start({ parameters: { unix_socket_directories: folder } })
  return { ...server, folder }
})

export interface TlsServer extends Postgres.Postgres {
  /** It has signed the server's certificate, and the server trusts the clients that it has signed. */
  readonly authority: Authority
  /** A folder for files of one's own. It is the Unix socket's too. */
  readonly place: string
}

export interface TlsOptions extends Postgres.Options {
  /** Makes the server's certificate. By default it is for `localhost`. */
  readonly certificate?: ((authority: Authority) => Certificate) | undefined
  /** `pg_hba.conf`. By default all come with a password, with TLS or without. */
  readonly hba?: string | undefined
}

/** A server with TLS, and an authority that it trusts. */
export const startWithTls = (
  { certificate = (authority) => authority.issue("localhost", ["localhost"]), hba, parameters, programs }: TlsOptions =
    {}
): Effect.Effect<TlsServer, Postgres.PostgresError, Scope.Scope> =>
  Effect.gen(function*() {
    const place = yield* makeFolder("pgpool-tls-")
    const authority = makeAuthority("The tests' own authority")
    const { cert, key } = certificate(authority)
    const file = (name: string, content: string) => {
      const path = join(place, name)
      writePrivate(path, content)
      return path
    }
    const server = yield* Postgres.start({
      programs,
      parameters: {
        ssl: "on",
        ssl_cert_file: file("server.crt", cert),
        ssl_key_file: file("server.key", key),
        ssl_ca_file: file("authority.crt", authority.cert),
        unix_socket_directories: place,
        ...(hba === undefined ? {} : { hba_file: file("hba.conf", hba) }),
        ...parameters
      }
    })
    return { ...server, authority, place }
  })
