/** @internal */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Dropped } from "../../PoolEvent.js"
import type { Hub } from "../pool/hub.js"

/** How many events a listener may be behind. */
const capacity = 1024

/**
 * What a hub tells, as a stream. Each run listens by itself, from its first step on.
 *
 * @internal
 */
export const heard = <Event>(hub: Hub<Event>, date: () => number): Stream.Stream<Event | Dropped> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const mailbox = yield* Mailbox.make<Event>({ capacity, strategy: "sliding" })
    let dropped = 0
    const hear = (event: Event) => {
      // The mailbox drops its oldest one without a word.
      if (Option.contains(mailbox.unsafeSize(), capacity)) dropped++
      mailbox.unsafeOffer(event)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => hub.listen({ hear, end: () => void mailbox.unsafeDone(endOfStream) })),
      (leave) => Effect.sync(leave)
    )
    return Stream.mapChunks(Mailbox.toStream(mailbox), (events) => {
      if (dropped === 0) return events
      const count = dropped
      dropped = 0
      return Chunk.prepend<Event | Dropped, Dropped>(events, { _tag: "Dropped", at: date(), count })
    })
  }))

const endOfStream = Exit.void
