/** @internal */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { Dropped } from "../../PoolEvent.js"
import type { Hub } from "../pool/hub.js"
import { ioClock } from "../time/ioClock.js"
import { secondsNow } from "../time/stopwatch.js"

/** How many events a listener may be behind. @internal */
export const capacity = 1024

/** An event, counted from 1: what is missing shows by a gap in the numbers. */
interface Numbered<Event> {
  readonly number: number
  readonly event: Event
}

/**
 * What a hub tells, as a stream. Each run listens by itself, from its first step on. A full mailbox drops its oldest event
 * without a word, also while the listener is about to read, so the gap is found by the listener.
 *
 * @internal
 */
export const heard = <Event>(hub: Hub<Event>, date: () => number): Stream.Stream<Event | Dropped> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const mailbox = yield* Mailbox.make<Numbered<Event>>({ capacity, strategy: "sliding" })
    let told = 0
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        hub.listen({
          hear: (event) => void mailbox.unsafeOffer({ number: ++told, event }),
          end: () => void mailbox.unsafeDone(Exit.void)
        })
      ),
      (leave) => Effect.sync(leave)
    )
    let next = 1
    const pacing = new Pace()
    // Of what is read together nothing is missing in between, and it is never empty.
    return Stream.mapChunksEffect(Mailbox.toStream(mailbox), (read) => {
      const count = Chunk.unsafeHead(read).number - next
      next += count + read.length
      const events = Chunk.map(read, ({ event }) => event)
      const all = count === 0
        ? events
        : Chunk.prepend<Event | Dropped, Dropped>(events, { _tag: "Dropped", at: date(), count })
      return Effect.as(pacing.next, all)
    })
  }))

/** So many times a listener is woken in a window, in milliseconds. @internal */
export const pace = { wakeUps: 20, millis: 20 }

/**
 * To wake a listener costs as much as a short statement. One that hears of each statement of a busy pool is woken for
 * many of them at once, a moment later. The moment is real: it is no part of any rule of the pool.
 */
class Pace {
  private endsAt = 0
  private wakeUps = 0

  readonly next: Effect.Effect<void> = Effect.suspend(() => {
    const now = secondsNow() * 1000
    if (now >= this.endsAt) {
      this.endsAt = now + pace.millis
      this.wakeUps = 0
    }
    return ++this.wakeUps < pace.wakeUps
      ? Effect.void
      : Effect.withClock(Effect.sleep(Math.ceil(this.endsAt - now)), ioClock)
  })
}
