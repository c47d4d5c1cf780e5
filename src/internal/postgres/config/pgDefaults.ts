/** @internal */
import * as Pg from "pg"

/** `pg.defaults`: what a program can set for all clients of `pg` in the process. @internal */
export const defaults = Pg.defaults as typeof Pg.defaults & { readonly sslnegotiation?: unknown }
