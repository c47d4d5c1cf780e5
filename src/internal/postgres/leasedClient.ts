/** @internal */
import type * as Pg from "pg"
import { LeaseEnded } from "../../PgError.js"
import type { Client } from "./pgClient.js"

type Listener = (...args: Array<any>) => void

/**
 * `pg`'s client for as long as a lease lasts: it is the client itself in all but that every use of it throws afterwards,
 * also of a method that was taken from it before. What was listened to by it is not heard any more then (R15).
 *
 * @internal
 */
export class LeasedClient {
  readonly client: Pg.Client
  private hasEnded = false
  private readonly listeners: Array<readonly [event: string | symbol, listener: Listener]> = []

  constructor(private readonly live: Client) {
    this.client = new Proxy(live as unknown as Pg.Client, {
      get: (_, key) => this.get(key),
      set: (_, key, value) => Reflect.set(this.inUse(), key, value)
    })
  }

  end(): void {
    this.hasEnded = true
    const emitter = this.live as unknown as NodeJS.EventEmitter
    for (const [event, listener] of this.listeners.splice(0)) emitter.removeListener(event, listener)
  }

  private inUse(): Client {
    if (this.hasEnded) throw new LeaseEnded()
    return this.live
  }

  private get(key: string | symbol): unknown {
    // Those of symbols are asked for by whoever wants to show it.
    const value = Reflect.get(typeof key === "symbol" ? this.live : this.inUse(), key)
    return typeof value === "function" && key !== "constructor" ? this.method(key, value) : value
  }

  /** `pg` keeps what it is called on, and goes on with that after the lease's end. */
  private method(key: string | symbol, method: (...args: Array<any>) => unknown) {
    return (...args: Array<any>): unknown => {
      const live = this.inUse()
      if (adds.has(key)) this.listeners.push([args[0], args[1]])
      const result = method.apply(live, args)
      return result === live ? this.client : result
    }
  }
}

const adds: ReadonlySet<string | symbol> = new Set([
  "on",
  "once",
  "addListener",
  "prependListener",
  "prependOnceListener"
])
