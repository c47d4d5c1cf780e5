/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import Cursor from "pg-cursor"
import { statementError } from "./errors.js"
import { Portal, prepareValues } from "./portal.js"
import type { Session } from "./session.js"

type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

type Page = Effect.Effect<Chunk.Chunk<any>, Option.Option<SqlError>>

/** Rows fetched at a time, as in `@effect/sql-pg`. */
const pageSize = 128

const chunkOf = (rows: ReadonlyArray<any>, transformRows: TransformRows): Chunk.Chunk<any> =>
  Chunk.unsafeFromArray(transformRows === undefined ? rows : transformRows(rows))

/**
 * Streams rows through a cursor that has the session to itself, until the scope is closed. What it leaves in flight
 * then is the business of the session's clean-up: nobody waits for it here.
 *
 * @internal
 */
export const cursor = (
  session: Session,
  sql: string,
  params: ReadonlyArray<unknown>,
  transformRows: TransformRows
): Stream.Stream<any, SqlError> =>
  Stream.unwrapScoped(Effect.map(
    Effect.acquireRelease(
      Effect.zipRight(
        session.settled,
        Effect.try({
          try: () => {
            const cursor = new Cursor(sql, [...params])
            session.submit(cursor, "cancel")
            return cursor
          },
          catch: statementError
        })
      ),
      (cursor) => Effect.sync(() => session.isSettled ? undefined : cursor.close(() => {}))
    ),
    (cursor) => Stream.repeatEffectChunkOption(readPage(session, cursor, transformRows))
  ))

const readPage = (session: Session, cursor: Cursor, transformRows: TransformRows): Page =>
  Effect.async((resume) => {
    cursor.read(pageSize, (error, rows) => {
      if (error) session.onceSettled(() => resume(Effect.fail(Option.some(session.failure(error)))))
      else if (rows.length === 0) resume(Effect.fail(Option.none()))
      else resume(Effect.succeed(chunkOf(rows, transformRows)))
    })
    return Effect.sync(() => session.interrupted())
  })

/**
 * Streams rows of a portal inside a transaction: the session is free between the pages, so other statements of the
 * transaction may run there. `inTurn` gives a page its turn on the session.
 *
 * @internal
 */
export const pages = (
  session: Session,
  sql: string,
  params: ReadonlyArray<unknown>,
  transformRows: TransformRows,
  inTurn: <A>(page: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
): Stream.Stream<any, SqlError> =>
  Stream.unwrapScoped(Effect.map(
    Effect.acquireRelease(
      Effect.try({ try: () => new Portal(sql, prepareValues(params), pageSize), catch: statementError }),
      // Nobody waits for the end of the portal; the next statement does.
      (portal) =>
        Effect.sync(() => session.onceSettled(() => portal.isOpen ? session.submit(portal.closing, "leave") : {}))
    ),
    (portal) => Stream.repeatEffectChunkOption(turnPage(session, portal, transformRows, inTurn))
  ))

const turnPage = (
  session: Session,
  portal: Portal,
  transformRows: TransformRows,
  inTurn: <A>(page: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
): Page =>
  Effect.suspend(() =>
    portal.isExhausted
      ? Effect.fail(Option.none())
      : inTurn(session.query<ReadonlyArray<any>>(portal, "cancel")).pipe(
        Effect.mapError(Option.some),
        Effect.flatMap((rows) =>
          rows.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(chunkOf(rows, transformRows))
        )
      )
  )
