/** @internal */
import { EventEmitter } from "node:events"
import type * as Pg from "pg"
import { LeaseEnded } from "../../../PgError.js"
import type { Client, TypeParsers } from "../driver/pg.js"
import { overTypes } from "../driver/pg.js"

type Listener = (...args: Array<any>) => void
type Method = (...args: Array<any>) => unknown

/**
 * `pg`'s client for as long as a lease lasts. It behaves as the client itself, but every use after the end throws: also
 * that of a method that was taken from it before, and of its wire connection and its socket. Listeners that were added by
 * it are removed at the end, and its type parsers are again those from before (R15).
 *
 * @internal
 */
export class LeasedClient {
  readonly client: Pg.Client
  private hasEnded = false
  private readonly listeners: Array<readonly [emitter: EventEmitter, event: string | symbol, listener: Listener]> = []
  private readonly guards = new Map<object, object>()
  /** The client's type parsers from before the borrower has set some. */
  private types: TypeParsers | undefined = undefined

  constructor(private readonly live: Client) {
    this.client = this.guarded(live) as Pg.Client
  }

  end(): void {
    this.hasEnded = true
    for (const [emitter, event, listener] of this.listeners.splice(0)) emitter.removeListener(event, listener)
    if (this.types !== undefined) this.live._types = this.types
  }

  private inUse<A>(object: A): A {
    if (this.hasEnded) throw new LeaseEnded()
    return object
  }

  /** One guard for each object: the borrower may compare them. */
  private guarded(object: object): object {
    let guard = this.guards.get(object)
    if (guard === undefined) {
      guard = new Proxy(object, {
        get: (_, key) => this.get(object, key),
        set: (_, key, value) => Reflect.set(this.inUse(object), key, value),
        defineProperty: (_, key, descriptor) => Reflect.defineProperty(this.inUse(object), key, descriptor),
        deleteProperty: (_, key) => Reflect.deleteProperty(this.inUse(object), key)
      })
      this.guards.set(object, guard)
    }
    return guard
  }

  private get(object: object, key: string | symbol): unknown {
    // An inspector asks for members by symbol. It can show the client after the end, too.
    const value = Reflect.get(typeof key === "symbol" ? object : this.inUse(object), key)
    if (typeof value === "function") return key === "constructor" ? value : this.method(object, key, value)
    return value instanceof EventEmitter ? this.guarded(value) : value
  }

  /** Calls it on the client itself: `pg` keeps its `this`, and goes on with that after the lease's end. */
  private method(object: object, key: string | symbol, method: Method): Method {
    const call: ProxyHandler<Method>["apply"] = (_, __, args) => {
      this.inUse(object)
      if (adds.has(key)) this.listeners.push([object as EventEmitter, args[0], args[1]])
      if (key === "setTypeParser") this.ownTypes()
      const result = method.apply(object, args)
      return result === object ? this.guarded(object) : result
    }
    // It may be a class, as that of the promises is.
    return new Proxy(method, { apply: call })
  }

  private ownTypes(): void {
    if (this.types !== undefined) return
    this.types = this.live._types
    this.live._types = overTypes(this.types)
  }
}

const adds: ReadonlySet<string | symbol> = new Set([
  "on",
  "once",
  "addListener",
  "prependListener",
  "prependOnceListener"
])
