/** @internal */
import { BadOption } from "../decode.js"
import { wordsOf } from "../words.js"

/** What a server answers to a statement. @internal */
export type Outcome =
  | { readonly _tag: "Rows"; readonly columns: Columns; readonly rows: Rows; readonly command: string }
  | Failure
  /** The connection is lost, without a word. */
  | { readonly _tag: "Death" }
  /** The client is to send what is to be copied. */
  | { readonly _tag: "CopyIn" }

interface Failure {
  readonly _tag: "Failure"
  readonly fields: ErrorFields
}

type Columns = ReadonlyArray<{ readonly name: string; readonly oid: number }>
type Rows = ReadonlyArray<ReadonlyArray<string | null>>

/** The fields of an error by their letters: https://www.postgresql.org/docs/current/protocol-error-fields.html @internal */
export type ErrorFields = { readonly C: string; readonly M: string } & { readonly [letter: string]: string }

/** @internal */
export const done = (command: string): Outcome => ({ _tag: "Rows", columns: [], rows: [], command })

/** @internal */
export const failure = (code: string, message: string): Failure => ({
  _tag: "Failure",
  fields: { S: "ERROR", V: "ERROR", C: code, M: message }
})

/** What a function of the script has thrown. @internal */
export const scriptFailed = (error: unknown): Failure =>
  failure("XX000", `The script failed: ${error instanceof BadOption ? error.message : wordsOf(error)}`)

/** A row with one text. */
const value = (name: string, text: string): Outcome => ({
  _tag: "Rows",
  columns: [{ name, oid: 25 }],
  rows: [[text]],
  command: "SELECT 1"
})

const integer = (name: string, n: number): Outcome => ({
  _tag: "Rows",
  columns: [{ name, oid: 23 }],
  rows: [[String(n)]],
  command: "SELECT 1"
})

/** Delivers a notification to all sessions that listen to its channel. @internal */
export type Notify = (channel: string, payload: string) => void

/**
 * What a session does without a script: transactions, settings, LISTEN and NOTIFY, and the questions that the pool asks by
 * itself.
 *
 * @internal
 */
export class Control {
  /** As the server tells it when it is ready: idle, in a transaction, in one that has failed. */
  status: "I" | "T" | "E" = "I"
  readonly channels = new Set<string>()
  private savepoints: Array<string> = []
  /** Sent at COMMIT. */
  private notifications: Array<Parameters<Notify>> = []

  constructor(private readonly processId: number, private readonly notify: Notify) {}

  /** What is answered before any script is asked. */
  refusal(text: string): Outcome | undefined {
    return this.status === "E" && !/^(ROLLBACK|ABORT|COMMIT|END)\b/i.test(text)
      ? failure("25P02", "current transaction is aborted, commands ignored until end of transaction block")
      : undefined
  }

  /** After an error of a statement. */
  failed(text: string): void {
    if (/^(COMMIT|END)\b/i.test(text)) this.end(false)
    else if (this.status === "T") this.status = "E"
  }

  /** `undefined`: it is for the script to say. */
  answer(text: string, values: ReadonlyArray<unknown> = []): Outcome | undefined {
    for (const [pattern, act] of this.commands) {
      const match = pattern.exec(text)
      if (match !== null) return act(match, values)
    }
    return undefined
  }

  private readonly commands: ReadonlyArray<
    readonly [pattern: RegExp, act: (match: RegExpExecArray, values: ReadonlyArray<unknown>) => Outcome]
  > = [
    [/^(BEGIN|START TRANSACTION)\b/i, ([, command]) => {
      this.status = "T"
      return done(command.toUpperCase())
    }],
    [/^(COMMIT|END)\b/i, () => done(this.end(this.status !== "E"))],
    [/^ROLLBACK TO (?:SAVEPOINT )?(\S+)$/i, ([, name]) =>
      this.back(name, () => {
        this.status = "T"
        return done("ROLLBACK")
      })],
    [/^(ROLLBACK|ABORT)\b/i, () => done(this.end(false))],
    [/^SAVEPOINT (\S+)$/i, ([, name]) => {
      if (this.status === "I") return failure("25P01", "SAVEPOINT can only be used in transaction blocks")
      this.savepoints.push(name)
      return done("SAVEPOINT")
    }],
    [/^RELEASE (?:SAVEPOINT )?(\S+)$/i, ([, name]) =>
      this.back(name, (index) => {
        this.savepoints.length = index
        return done("RELEASE")
      })],
    [/^(SET|RESET|DEALLOCATE)\b/i, ([, command]) => done(command.toUpperCase())],
    [/^DISCARD ALL$/i, () => {
      this.channels.clear()
      return done("DISCARD ALL")
    }],
    [/^LISTEN (.+)$/i, ([, channel]) => {
      this.channels.add(nameIn(channel))
      return done("LISTEN")
    }],
    [/^UNLISTEN (.+)$/i, ([, channel]) => {
      if (channel === "*") this.channels.clear()
      else this.channels.delete(nameIn(channel))
      return done("UNLISTEN")
    }],
    [/^NOTIFY ("(?:[^"]|"")+"|\w+)(?: ?, ?'(.*)')?$/i, ([, channel, payload = ""]) => {
      this.notifies(nameIn(channel), payload.replaceAll("''", "'"))
      return done("NOTIFY")
    }],
    [/^SELECT pg_notify\(\$1, ?\$2\)$/i, (_, [channel, payload]) => {
      this.notifies(String(channel), String(payload ?? ""))
      return value("pg_notify", "")
    }],
    [/^COPY .* FROM STDIN\b/i, () => ({ _tag: "CopyIn" })],
    [/^SELECT 1$/i, () => integer("?column?", 1)],
    [/^SELECT pg_backend_pid\(\)(?: AS (\w+))?$/i, ([, name = "pg_backend_pid"]) => integer(name, this.processId)],
    [/^SELECT pg_catalog\.pg_is_in_recovery\(\)$/i, () => value("pg_is_in_recovery", "f")],
    [/^SHOW transaction_read_only$/i, () => value("transaction_read_only", "off")],
    // Of the pool: whether a session that it gave up still runs something, and what its live page asks.
    [/^SELECT count\(\*\) FROM pg_stat_activity WHERE pid = /, () => value("count", "0")],
    [/^WITH sessions AS MATERIALIZED \( SELECT pid, state, /, () => value("coalesce", "[]")]
  ]

  private end(isCommit: boolean): string {
    if (isCommit) { for (const notification of this.notifications) this.notify(...notification) }
    this.status = "I"
    this.savepoints = []
    this.notifications = []
    return isCommit ? "COMMIT" : "ROLLBACK"
  }

  private back(name: string, act: (index: number) => Outcome): Outcome {
    const index = this.savepoints.lastIndexOf(name)
    return index < 0 ? failure("3B001", `savepoint "${name}" does not exist`) : act(index)
  }

  private notifies(channel: string, payload: string): void {
    if (this.status === "I") this.notify(channel, payload)
    else this.notifications.push([channel, payload])
  }
}

/** The name that an identifier stands for. */
const nameIn = (identifier: string): string =>
  identifier.startsWith("\"") ? identifier.slice(1, -1).replaceAll("\"\"", "\"") : identifier.toLowerCase()
