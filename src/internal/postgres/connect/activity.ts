/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Backend, Backends } from "../../inside.js"
import { leaveAfter } from "../../time/deadline.js"
import type { Target } from "../config/target.js"
import { connectError } from "../errors/errors.js"
import { ask } from "../session/ask.js"
import { servingProcess } from "../session/pooler.js"
import type { Session } from "../session/session.js"
import { connectInTime } from "./connect.js"

/** How old an answer may be: several who look at the same time share it. */
const every = "2 seconds"

/**
 * Asks what the server does for these sessions, by a session of its own beside the pool, which is closed with the scope.
 * Those who hold it together share its answers.
 *
 * @internal
 */
export const activity = (
  target: Target,
  sessions: () => ReadonlyArray<Session>
): Effect.Effect<Effect.Effect<Backends, SqlError>, SqlError, Scope.Scope> =>
  closedIfItFails(Effect.gen(function*() {
    const observer = yield* connectInTime(beside(target), () => {})
    if ((yield* servingProcess(observer)) !== observer.processId) return yield* behindPooler
    return yield* Effect.cachedWithTTL(Effect.suspend(() => look(observer, sessions())), every)
  }))

/** `RcRef`, which shares this, closes nothing of what fails or is interrupted before it is whole. */
const closedIfItFails = <A, E>(body: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const whole = yield* restore(Scope.extend(body, scope)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
      return whole
    })
  )

/** Nothing of the user's runs on it, and `pg_stat_activity` shows what it is for. */
const beside = (target: Target): Target => ({
  ...target,
  client: () => ({ ...target.client(), application_name: `${target.config.applicationName} dashboard` }),
  password: Effect.withClock(target.password, target.clock),
  onConnect: undefined,
  setupSql: undefined
})

/** Nothing is known of the server's side, for a reason that has no secret. @internal */
export class NotKnown extends Error {
  override readonly name = "NotKnown"
}

const notKnown = (reason: string): SqlError => connectError(new NotKnown(reason))

const behindPooler = Effect.suspend(() =>
  notKnown("there is a pooler in between, so it is not known which of its processes work for this pool")
)

const look = (observer: Session, sessions: ReadonlyArray<Session>): Effect.Effect<Backends, SqlError> => {
  if (!observer.isAlive) return Effect.fail(connectError(observer.loss))
  const here = sessions.filter((session) => isBeside(observer, session)).map(({ processId }) => processId)
  const found = new Map<number, Backend | "elsewhere">(sessions.map(({ processId }) => [processId, "elsewhere"]))
  if (here.length === 0) return Effect.succeed(found)
  return Effect.map(answer(observer, question(here)), (text) => {
    for (const pid of here) found.delete(pid)
    for (const { pid, ...backend } of JSON.parse(text) as ReadonlyArray<Row>) found.set(pid, backend)
    return found
  })
}

interface Row extends Backend {
  readonly pid: number
}

/** A session whose server says nothing is given up: it may never answer. */
const answer = (observer: Session, text: string): Effect.Effect<string, SqlError> =>
  Effect.flatMap(
    leaveAfter(ask(observer, text), observer.target.reach.cleanupTimeout, observer.target.io.clock),
    (exit): Effect.Effect<string, SqlError> => {
      if (Option.isSome(exit)) return exit.value
      observer.destroy()
      return notKnown("it has not answered in time")
    }
  )

/** Whether both have the same server. Numbers of processes mean nothing elsewhere. */
const isBeside = ({ cancellable: a }: Session, { cancellable: b }: Session): boolean =>
  a.host === b.host && a.port === b.port && a.remoteAddress === b.remoteAddress

/** No text of a statement is asked for: it could have a secret. Only a session that waits for a lock is looked up among the locks. */
const question = (pids: ReadonlyArray<number>): string => `
  WITH sessions AS MATERIALIZED (
    SELECT pid, state, wait_event_type, wait_event, application_name,
      round(1000 * extract(epoch FROM clock_timestamp() - state_change)) AS since
    FROM pg_stat_activity
  )
  SELECT coalesce(json_agg(json_build_object(
    'pid', pid,
    'state', state,
    'since', since,
    'waitsFor', CASE WHEN state = 'active' THEN wait_event_type || ': ' || wait_event END,
    'blockedBy', coalesce((
      SELECT json_agg(json_build_object('processId', blocker, 'name', b.application_name, 'state', b.state))
      FROM unnest(CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) END) AS blocker
      LEFT JOIN sessions b ON b.pid = blocker
    ), '[]'::json)
  )), '[]'::json)::text
  FROM sessions a WHERE pid IN (${pids.join(", ")})`
