/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { isIP } from "node:net"
import { within } from "../../time/deadline.js"
import { causes } from "../../words.js"
import type { Target } from "../config/target.js"
import { isServerError } from "../errors/codes.js"
import { ask } from "../session/ask.js"
import type { Session } from "../session/session.js"
import { open } from "./open.js"

/**
 * Whether the server still runs something in a session that can't be asked itself. A session of its own asks, at the same
 * address. A server that refuses to tell still runs it. If no answer comes at all, as on a network that is gone, nothing
 * is known, and callers must not wait for it. Behind a pooler nothing is known either.
 *
 * @internal
 */
export const stillRuns = (target: Target, { cancellable, processId }: Session): Effect.Effect<boolean> => {
  const { host: name, port, remoteAddress } = cancellable
  const isNamed = target.stream === undefined && !name.startsWith("/") && isIP(name) === 0
  const place = { host: { name, port }, address: isNamed ? remoteAddress : undefined }
  const question =
    `SELECT count(*) FROM pg_stat_activity WHERE pid = ${processId} AND coalesce(state, '') NOT LIKE 'idle%'`
  const runs = Effect.withClock(target.password, target.clock).pipe(
    Effect.flatMap((password) => open(target, password, place, () => {})),
    Effect.flatMap((session) => ask(session, question)),
    Effect.scoped,
    Effect.map((count) => count !== "0"),
    Effect.catchAllCause((cause) => Effect.succeed(causes(Cause.squash(cause)).some(isServerError)))
  )
  return processId === 0
    ? Effect.succeed(true)
    : within(runs, { millis: target.reach.youngFor, clock: target.io.clock, onTimeout: () => Effect.succeed(false) })
}
