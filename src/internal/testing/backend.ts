/** @internal */
import type { Outcome } from "./control.js"
import * as Wire from "./messages.js"

/** A statement as a session got it: its text, and its parameters as they were sent. @internal */
export interface Request {
  readonly text: string
  readonly values: ReadonlyArray<string | Buffer | null>
}

/** @internal */
export type Tell = (outcomes: ReadonlyArray<Outcome>) => void

/** Tells what becomes of the statements in a text, now or later. The result calls that off. @internal */
export type Respond = (request: Request, tell: Tell) => () => void

type Rows = Extract<Outcome, { readonly _tag: "Rows" }>

/** What a statement gives that has not failed. */
type Answer = Extract<Outcome, { readonly _tag: "Rows" | "CopyIn" }>

interface Portal extends Request {
  /** `undefined` until it was described or executed. */
  answer?: Answer | undefined
  sent: number
}

/** In which of the two ways a statement was sent. */
type Way = "simple" | "extended"

/** What a session needs of the world around it. @internal */
export interface Surroundings {
  readonly respond: Respond
  /** What is told at each ReadyForQuery. */
  readonly status: () => string
  readonly send: (messages: ReadonlyArray<Buffer>) => void
  /** A statement has failed of which only the messages know. */
  readonly failed: () => void
  /** Ends the connection: with a FIN, or as if the network had lost it. */
  readonly end: (how: "end" | "reset") => void
}

/**
 * The server's side of one session: it takes requests one after the other, as a server does, and knows the messages but not
 * what statements mean.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html
 *
 * @internal
 */
export class Backend {
  private readonly queue: Array<{ readonly kind: string; readonly body: Buffer }> = []
  private pending: Array<Buffer> = []
  private readonly statements = new Map<string, string>()
  private readonly portals = new Map<string, Portal>()
  /** Answers the statement that runs. */
  private running: Tell | undefined
  private callOff = () => {}
  /** After an error nothing is done until the next Sync. */
  private isSkipping = false
  /** The client copies something in. */
  private copying: Way | undefined
  private isWorking = false
  private isOver = false

  constructor(private readonly around: Surroundings) {}

  readonly requested = (kind: string, body: Buffer): void => {
    this.queue.push({ kind, body })
    this.work()
  }

  /** What runs is cancelled, if anything does. */
  cancel(outcome: Outcome): void {
    this.callOff()
    this.running?.([outcome])
  }

  private work(): void {
    if (this.isWorking) return
    this.isWorking = true
    while (this.running === undefined && this.queue.length > 0 && !this.isOver) {
      const { body, kind } = this.queue.shift()!
      if (this.copying !== undefined) this.copied(kind)
      else if (!this.isSkipping || kind === "S" || kind === "X") this.take(kind, body)
    }
    this.isWorking = false
  }

  private take(kind: string, body: Buffer): void {
    const text = body.toString()
    const [first, second] = text.split("\0")
    switch (kind) {
      case "Q":
        return this.run({ text: first, values: [] }, "simple", (answers) => {
          for (const answer of answers) this.simple(answer)
          if (this.copying === undefined) this.ready()
        })
      case "P":
        this.statements.set(first, second)
        return void this.pending.push(Wire.message("1"))
      case "B":
        this.portals.set(first, { text: this.statements.get(second) ?? "", values: valuesIn(body), sent: 0 })
        return void this.pending.push(Wire.message("2"))
      case "D":
        return first.startsWith("P")
          ? this.withPortal(first.slice(1), (answer) => this.pending.push(described(answer)))
          : void this.pending.push(Wire.message("t", Wire.int16(0)), Wire.message("n"))
      case "E":
        return this.withPortal(first, (answer, portal) =>
          answer._tag === "CopyIn"
            ? this.copyIn("extended")
            : this.page(answer, portal, body.readInt32BE(body.length - 4)))
      case "C":
        ;(first.startsWith("P") ? this.portals : this.statements).delete(first.slice(1))
        return void this.pending.push(Wire.message("3"))
      case "H":
        return this.flush()
      case "S":
        this.isSkipping = false
        return this.ready()
      case "X":
        return this.over("end")
    }
  }

  /** Runs a statement; `then` is called with what it gives, unless that is an error or the end. */
  private run(request: Request, way: Way, then: (answers: ReadonlyArray<Answer>) => void): void {
    const tell: Tell = (outcomes) => {
      if (this.running !== tell || this.isOver) return
      this.running = undefined
      const good = outcomes.filter(isAnswer)
      const last = outcomes.at(-1)
      if (last?._tag === "Death") return this.over("reset")
      if (last?._tag !== "Failure") then(good)
      else {
        for (const answer of good) this.simple(answer)
        this.fail(last.fields, way)
      }
      this.work()
    }
    this.running = tell
    const callOff = this.around.respond(request, tell)
    if (this.running === tell) this.callOff = callOff
  }

  private withPortal(name: string, then: (answer: Answer, portal: Portal) => void): void {
    const portal = this.portals.get(name)
    if (portal === undefined) {
      return this.fail({ S: "ERROR", C: "34000", M: `portal "${name}" does not exist` }, "extended")
    }
    if (portal.answer !== undefined) return then(portal.answer, portal)
    this.run(portal, "extended", ([answer]) => then(portal.answer = answer, portal))
  }

  private copyIn(way: Way): void {
    this.copying = way
    this.pending.push(Wire.message("G", Buffer.from([0]), Wire.int16(0)))
    this.flush()
  }

  /** Of a copy only its end matters. The driver sends none: it fails each copy. */
  private copied(kind: string): void {
    if (kind === "X") return this.over("end")
    if (kind !== "f" && kind !== "c") return
    const way = this.copying!
    this.copying = undefined
    this.around.failed()
    this.fail({ S: "ERROR", C: "57014", M: "COPY from stdin failed" }, way)
  }

  private page(answer: Rows, portal: Portal, limit: number): void {
    const until = limit === 0 ? answer.rows.length : portal.sent + limit
    for (const row of answer.rows.slice(portal.sent, until)) this.pending.push(Wire.dataRow(row))
    portal.sent = until
    this.pending.push(until < answer.rows.length ? Wire.message("s") : Wire.complete(answer.command))
  }

  private simple(answer: Answer): void {
    if (answer._tag === "CopyIn") return this.copyIn("simple")
    const { columns, command, rows } = answer
    if (columns.length > 0 || command.startsWith("SELECT")) this.pending.push(Wire.describe(columns))
    for (const row of rows) this.pending.push(Wire.dataRow(row))
    this.pending.push(Wire.complete(command))
  }

  /** The server ends a session of itself by an error that is fatal. */
  private fail(fields: Readonly<Record<string, string>>, way: Way): void {
    this.pending.push(Wire.message("E", Wire.fields(fields)))
    if (fields.S === "FATAL") {
      this.flush()
      return this.over("end")
    }
    if (way === "extended") {
      this.isSkipping = true
      this.flush()
    } else this.ready()
  }

  private ready(): void {
    const status = this.around.status()
    if (status === "I") this.portals.clear()
    this.pending.push(Wire.ready(status))
    this.flush()
  }

  private flush(): void {
    this.around.send(this.pending.splice(0))
  }

  /** The connection has ended. */
  close(): void {
    this.isOver = true
    this.callOff()
  }

  private over(how: "end" | "reset"): void {
    this.close()
    this.around.end(how)
  }
}

const isAnswer = (outcome: Outcome): outcome is Answer => outcome._tag === "Rows" || outcome._tag === "CopyIn"

const described = (answer: Answer): Buffer =>
  answer._tag === "CopyIn" || answer.columns.length === 0 ? Wire.message("n") : Wire.describe(answer.columns)

/** The parameters of a Bind message. */
const valuesIn = (body: Buffer): ReadonlyArray<string | Buffer | null> => {
  let at = body.indexOf(0, body.indexOf(0) + 1) + 1
  const next = (size: 2 | 4): number => body.readIntBE((at += size) - size, size)
  const formats = Array.from({ length: next(2) }, () => next(2))
  return Array.from({ length: next(2) }, (_, index) => {
    const length = next(4)
    if (length < 0) return null
    const bytes = body.subarray(at, at += length)
    return (formats.length === 1 ? formats[0] : formats[index]) === 1 ? bytes : bytes.toString()
  })
}
