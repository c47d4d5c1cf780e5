/** @internal */
import type { Outbox } from "./outbox.js"

/** @internal */
export interface Listener<Event> {
  readonly hear: (event: Event) => void
  readonly end: () => void
}

/**
 * Tells its listeners what happens, after the section in which it has happened. What nobody listens to costs a look.
 *
 * @internal
 */
export class Hub<Event> {
  private readonly listeners = new Set<Listener<Event>>()
  private hasEnded = false

  constructor(private readonly outbox: Outbox) {}

  get isHeard(): boolean {
    return this.listeners.size > 0
  }

  /** The result ends it for this listener. */
  listen(listener: Listener<Event>): () => void {
    if (this.hasEnded) listener.end()
    else this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  tell(make: () => Event): void {
    if (!this.isHeard) return
    const event = make()
    this.outbox.post(() => {
      for (const { hear } of this.listeners) hear(event)
    })
  }

  /** Nothing happens any more. */
  end(): void {
    this.hasEnded = true
    this.outbox.post(() => {
      for (const { end } of this.listeners) end()
      this.listeners.clear()
    })
  }
}
