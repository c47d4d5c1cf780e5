/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { LeaseEnded } from "../../../PgError.js"
import { resumeHere } from "../../effects.js"
import { prepareValues } from "../driver/pg.js"
import { Portal } from "../driver/portal.js"
import { statementError, transformedRows } from "../errors/errors.js"
import type { Sender } from "../session/request.js"
import type { Session } from "../session/session.js"
import { SafeCursor } from "./cursor.js"

type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

type Page = Effect.Effect<ReadonlyArray<any>, SqlError>

/** What is to be streamed. */
interface Rows {
  readonly session: Session
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly transformRows: TransformRows
  readonly sender?: Sender
  /** Gives each page its turn on the session. */
  readonly inTurn: (page: Page) => Page
}

/** Rows fetched at a time, as in `@effect/sql-pg`. */
const pageSize = 128

/**
 * Streams rows through a cursor that has the session to itself, until the scope is closed. What it leaves in flight
 * then is the business of the session's clean-up: nobody waits for it here.
 *
 * @internal
 */
export const cursor = (rows: Rows): Stream.Stream<any, SqlError> => {
  const { params, sender, session, sql } = rows
  const submit = Effect.try({
    try: () => {
      const cursor = new SafeCursor(sql, [...params])
      session.submit(cursor, { onInterrupt: "cancel" }, (error) => cursor.ended(error))
      return cursor
    },
    catch: statementError
  })
  const open = Effect.suspend(() => sender?.refusal ?? (session.isAlive ? submit : session.notSent()))
  const close = (cursor: SafeCursor) => Effect.sync(() => session.isSettled ? undefined : cursor.leave())
  // What is acquired can't be interrupted, but the wait for a cancel must be.
  return Stream.unwrapScoped(Effect.map(
    Effect.zipRight(session.settledInTime, Effect.acquireRelease(open, close)),
    (cursor) => pageByPage(rows, readPage(session, cursor), cursor)
  ))
}

const readPage = (session: Session, cursor: SafeCursor): Page =>
  Effect.async((answer) => {
    const resume = resumeHere(answer)
    cursor.read(pageSize, (error, rows) => {
      if (cursor.isLeft) resume(left)
      else if (error) session.flight.onceSettled(() => resume(Effect.fail(session.failure(cursor.badRow ?? error))))
      else if (cursor.badRow !== undefined) resume(Effect.fail(statementError(cursor.badRow)))
      else resume(Effect.succeed(rows))
    })
    return Effect.sync(() => session.interrupted())
  })

/**
 * Streams rows of a portal inside a transaction: the session is free between the pages, so other statements of the
 * transaction may run there.
 *
 * @internal
 */
export const portal = (rows: Rows): Stream.Stream<any, SqlError> => {
  const { params, session, sql } = rows
  const make = Effect.try({ try: () => new Portal(sql, prepareValues(params), pageSize), catch: statementError })
  // Nobody waits for its end; the next statement does.
  const close = (portal: Portal) =>
    Effect.sync(() => {
      portal.isLeft = true
      session.flight.onceSettled(() => {
        if (portal.isOpen && rows.sender?.refusal === undefined) {
          session.submit(portal.closing, { onInterrupt: "leave" }, () => {})
        }
      })
    })
  return Stream.unwrapScoped(Effect.map(
    Effect.acquireRelease(make, close),
    (portal) => pageByPage(rows, turnPage(rows, portal), portal)
  ))
}

const turnPage = ({ sender, session }: Rows, portal: Portal): Page =>
  Effect.suspend(() => {
    if (portal.isComplete || portal.hasFailed) return Effect.succeed([])
    return portal.isLeft ? left : session.query(portal, "cancel", sender)
  })

/** Its scope was closed, by somebody else than who reads. */
const left: Page = Effect.suspend(() => Effect.fail(statementError(new LeaseEnded())))

/** An empty page is the end, if the server has said so. */
const pageByPage = (
  { inTurn, session, transformRows }: Rows,
  page: Page,
  source: { readonly isComplete: boolean }
): Stream.Stream<any, SqlError> =>
  Stream.repeatEffectChunkOption(
    Effect.matchEffect(inTurn(session.inTime(page)), {
      onFailure: (error) => Effect.fail(Option.some(error)),
      onSuccess: (rows) => {
        if (rows.length === 0) return Effect.fail(source.isComplete ? Option.none() : Option.some(notComplete()))
        if (transformRows === undefined) return Effect.succeed(Chunk.unsafeFromArray(rows))
        return Exit.mapBoth(transformedRows(rows, transformRows), {
          onFailure: Option.some,
          onSuccess: Chunk.unsafeFromArray
        })
      }
    })
  )

/** It has failed before, or whatever else there may be: not all rows have come. */
const notComplete = (): SqlError => statementError(new Error("The stream ended before the server had told its end"))
