/** @internal */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { secondsNow } from "../../time/stopwatch.js"
import type { Operations } from "../config/operations.js"

/** Tells how long a statement takes. @internal */
export const timed = <A, E, R>(
  operations: Operations | undefined,
  statement: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  operations === undefined ? statement : Effect.suspend(() => {
    const begun = secondsNow()
    return Effect.onExit(statement, (exit) => Effect.sync(() => operations.ended(begun, exit)))
  })

/** The same for a stream of rows: it is one statement, which ends with the stream. @internal */
export const timedStream = <A, E, R>(
  operations: Operations | undefined,
  rows: Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> =>
  operations === undefined ? rows : Stream.suspend(() => {
    const begun = secondsNow()
    return Stream.ensuringWith(rows, (exit) => Effect.sync(() => operations.ended(begun, exit)))
  })
