/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { LeaseEnded } from "../../../PgError.js"
import { awaiting } from "../../effects.js"
import { prepareValues } from "../driver/pg.js"
import { Portal } from "../driver/portal.js"
import { statementError, transformedRows } from "../errors/errors.js"
import type { Sender } from "../session/request.js"
import type { Session } from "../session/session.js"
import type { TransformRows } from "./statements.js"
import { valuesOf } from "./statements.js"

type Page = Effect.Effect<ReadonlyArray<any>, SqlError>

/** A statement whose rows are streamed. @internal */
export interface Rows {
  readonly session: Session
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly transformRows: TransformRows
  readonly sender?: Sender
  /** Gives each page its turn on the session. */
  readonly inTurn: (page: Page) => Page
  /** The last row has come, and the session is free. It may be told more than once. */
  readonly onLast?: () => void
}

/**
 * Streams rows while the session belongs to the stream alone, until the last one has come or the scope is closed. Outside
 * a transaction there is no other way. The stream does not wait for what it leaves in flight: the session's clean-up does.
 *
 * @internal
 */
export const exclusive = (rows: Rows): Stream.Stream<any, SqlError> =>
  // The acquisition can't be interrupted, but the wait for a cancel must be.
  Stream.unwrapScoped(Effect.zipRight(
    rows.session.settledInTime,
    Effect.map(portalOf(rows, "Flush"), (portal) => pageByPage(rows, nextPage(rows, portal), portal))
  ))

/**
 * Streams rows inside a transaction: the session is free between two pages, so other statements of the transaction can
 * run there.
 *
 * @internal
 */
export const interleaved = (rows: Rows): Stream.Stream<any, SqlError> =>
  Stream.unwrapScoped(
    Effect.map(portalOf(rows, "Sync"), (portal) => pageByPage(rows, onePage(rows, portal), portal))
  )

/** A portal that ends with the scope. */
const portalOf = ({ params, sender, session, sql }: Rows, pageEnd: "Sync" | "Flush") =>
  Effect.acquireRelease(
    Effect.try({
      try: () => new Portal(sql, prepareValues(valuesOf(params)), pageEnd),
      catch: statementError
    }),
    (portal) =>
      Effect.sync(() => {
        portal.leave()
        // The next statement waits for that; the stream does not.
        session.flight.onceSettled(() => {
          if (portal.isOpen && sender?.refusal === undefined) {
            session.submit(portal.closing, { onInterrupt: "leave" }, () => {})
          }
        })
      })
  )

/** One page of a portal whose pages are one query: the first one sends it. */
const nextPage = ({ sender, session }: Rows, portal: Portal): Page => {
  const read: Page = awaiting((resume) => {
    portal.read((error, rows = []) => {
      if (portal.isLeft) resume(left)
      else if (error) session.flight.onceSettled(() => resume(Effect.fail(session.failure(error))))
      else resume(Effect.succeed(rows))
    })
    if (!portal.hasBegun) session.submit(portal, { onInterrupt: "cancel" }, (error) => portal.ended(error))
    return () => {
      // Where another fiber has closed the scope, what runs on the session may be somebody else's.
      if (portal.isLeft) return
      portal.abandon()
      session.interrupted()
    }
  })
  return whileOpen(portal, () => {
    if (portal.hasBegun) return read
    return sender?.refusal ?? (session.isAlive ? read : session.notSent())
  })
}

/** One page of a portal whose pages are queries of their own. */
const onePage = ({ sender, session }: Rows, portal: Portal): Page =>
  whileOpen(portal, () =>
    Effect.flatMap(
      session.query<ReadonlyArray<any>>(portal, "cancel", sender),
      (rows) => portal.isLeft ? left : Effect.succeed(rows)
    ))

const whileOpen = (portal: Portal, page: () => Page): Page =>
  Effect.suspend(() => {
    if (portal.isLeft) return left
    return portal.isOver ? Effect.succeed([]) : page()
  })

/** Another fiber than the reader has closed its scope. */
const left: Page = Effect.suspend(() => Effect.fail(statementError(new LeaseEnded())))

/**
 * An empty page is the end, if the server has said so.
 *
 * The session is given back in the step in which the last row has come, and not only with the scope: rows may be read
 * slowly, and Effect drops the finalizer of a stream within a stream whose reader is interrupted just when it has ended.
 */
const pageByPage = (
  { inTurn, onLast, session, transformRows }: Rows,
  page: Page,
  portal: Portal
): Stream.Stream<any, SqlError> =>
  Stream.repeatEffectChunkOption(
    Effect.matchEffect(inTurn(session.inTime(page)), {
      onFailure: (error) => Effect.fail(Option.some(error)),
      onSuccess: (rows) => {
        if (portal.isComplete) onLast?.()
        if (rows.length === 0) return Effect.fail(portal.isComplete ? Option.none() : Option.some(notComplete()))
        if (transformRows === undefined) return Effect.succeed(Chunk.unsafeFromArray(rows))
        return Exit.mapBoth(transformedRows(rows, transformRows), {
          onFailure: Option.some,
          onSuccess: Chunk.unsafeFromArray
        })
      }
    })
  )

/** Not all rows have come: it has failed before, or was ended in another way. */
const notComplete = (): SqlError => statementError(new Error("The stream ended before the server had told its end"))
