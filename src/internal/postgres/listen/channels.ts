/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as StreamEmit from "effect/StreamEmit"
import type { ListenEvent } from "../../../PgPool.js"

/** One stream of a caller. @internal */
export type Listener = StreamEmit.EmitOpsPush<SqlError, ListenEvent>

/** What callers listen to. @internal */
export class Channel {
  readonly listeners = new Set<Listener>()
  /** Done when the server has first said that it listens. */
  readonly ready = Deferred.unsafeMake<void, SqlError>(FiberId.none)
  isReady = false

  tell(event: ListenEvent): void {
    for (const listener of this.listeners) listener.single(event)
  }

  /** The session that listens now has begun to do so. */
  heard(): void {
    // The first time there is nothing that its listeners could have missed.
    if (this.isReady) this.tell({ _tag: "Reconnected" })
    this.isReady = true
    Deferred.unsafeDone(this.ready, Exit.void)
  }
}

/**
 * The channels that callers listen to, by name. Channels and their listeners don't disturb each other (R21).
 *
 * @internal
 */
export class Channels {
  private readonly byName = new Map<string, Channel>()
  /** Why no session will listen any more. */
  private ending: SqlError | undefined = undefined

  /** `changed` is told when a session has to listen to something else than before. */
  constructor(private readonly changed: () => void) {}

  get(name: string): Channel | undefined {
    return this.byName.get(name)
  }

  get all(): Iterable<readonly [string, Channel]> {
    return this.byName
  }

  add(name: string, listener: Listener): Channel {
    const channel = this.byName.get(name) ?? new Channel()
    channel.listeners.add(listener)
    this.byName.set(name, channel)
    if (this.ending === undefined) this.changed()
    else this.fail(name, channel, this.ending)
    return channel
  }

  remove(name: string, channel: Channel, listener: Listener): void {
    channel.listeners.delete(listener)
    if (channel.listeners.size > 0 || this.byName.get(name) !== channel) return
    this.byName.delete(name)
    this.changed()
  }

  fail(name: string, channel: Channel, error: SqlError): void {
    this.byName.delete(name)
    Deferred.unsafeDone(channel.ready, Exit.fail(error))
    for (const listener of channel.listeners) listener.fail(error)
  }

  /** Fails all listeners, and those that come later. */
  end(error: SqlError): void {
    this.ending = error
    for (const [name, channel] of this.byName) this.fail(name, channel, error)
  }
}
