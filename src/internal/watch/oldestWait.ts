/** @internal */
import { Alarm } from "../pool/alarm.js"
import type { Port } from "../pool/port.js"
import type { Note } from "./instruments.js"

/** In milliseconds. Whoever reads metrics does not come more often. */
const perNote = 1000

/**
 * After a long wait a part of it, so that the figure is never wrong by more than an eighth. A test that lets an hour pass
 * on its own clock then does not have to pass through each second of it.
 */
const part = 1 / 8

/**
 * How long the oldest caller in the queue has waited. Nothing happens in the pool while nobody is served: so this looks
 * again and again as long as there is a queue.
 *
 * @internal
 */
export class OldestWait {
  private readonly alarm: Alarm

  constructor(
    private readonly pool: Pick<Port<any, any>, "env" | "lifecycle" | "waiters">,
    /** In seconds. */
    private readonly note: Note
  ) {
    this.alarm = new Alarm(pool.env, () => this.ring())
  }

  /** A caller has joined or left the queue. */
  changed(): void {
    const { env, waiters: { size } } = this.pool
    if (size === 0) this.note(0)
    // The queue was empty before.
    else if (size === 1) this.alarm.arm(env.now() + perNote)
  }

  stop(): void {
    this.alarm.stop()
  }

  private ring(): number {
    const { env, lifecycle, waiters: { first } } = this.pool
    if (first === undefined) return Infinity
    const now = env.now()
    const waited = lifecycle.waitOf(first, now)
    this.note(waited / 1000)
    return now + Math.max(perNote, Math.floor(waited * part))
  }
}
