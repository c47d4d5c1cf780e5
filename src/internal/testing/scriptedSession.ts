/** @internal */
import type * as Api from "../../Testing.js"
import { after } from "../time/time.js"
import type { Request, Tell } from "./backend.js"
import { Backend } from "./backend.js"
import type { Outcome } from "./control.js"
import { Control, done, failure, scriptFailed } from "./control.js"
import type { MemorySocket } from "./memorySocket.js"
import * as Wire from "./messages.js"
import { commandOf, normal } from "./script.js"
import type { ScriptedServer } from "./scriptedServer.js"
import { statementsIn } from "./statements.js"

/** A statement that runs ends now, after a time, or never. */
interface Running {
  readonly delay: number
  /** `undefined`: never. */
  readonly outcome: (() => Outcome) | undefined
}

/** One session of a scripted server. @internal */
export class ScriptedSession {
  private readonly control: Control
  private readonly backend: Backend

  constructor(
    private readonly server: ScriptedServer,
    private readonly n: number,
    private readonly socket: MemorySocket
  ) {
    this.control = new Control(n, server.notify)
    this.backend = new Backend({
      respond: (request, tell) => this.respond(request, tell),
      status: () => this.control.status,
      failed: () => this.control.failed("COPY"),
      send: (messages) => this.send(Buffer.concat(messages)),
      end: (how) => how === "end" ? socket.end() : socket.resetAndDestroy()
    })
    server.sessions.set(n, this)
    socket.once("close", () => {
      this.backend.close()
      server.sessions.delete(n)
    })
  }

  requested(kind: string, body: Buffer): void {
    this.backend.requested(kind, body)
  }

  /** Cancels what runs, as another session has asked for. */
  cancel(): void {
    this.backend.cancel(failure("57014", "canceling statement due to user request"))
  }

  notify(channel: string, payload: string): void {
    if (this.control.channels.has(channel)) this.send(Wire.notification(channel, payload))
  }

  private send(bytes: Buffer): void {
    if (this.socket.writable && bytes.length > 0) this.socket.write(bytes)
  }

  /** A text that has no answer as a whole is one statement after the other. */
  private respond({ text, values }: Request, tell: Tell): () => void {
    const sentOf = (statement: string): Api.Sent => ({ text: normal(statement), values, session: this.n })
    let statements: ReadonlyArray<Api.Sent>
    try {
      statements = this.statementsOf(text).map(sentOf)
    } catch (error) {
      // A function of the script was asked about the whole text.
      this.server.sent.push(sentOf(text))
      this.control.failed(normal(text))
      tell([scriptFailed(error)])
      return () => {}
    }
    const outcomes: Array<Outcome> = []
    let current = 0
    let callOff = () => {}
    const next = (): void => {
      const sent = statements[current++]
      if (sent === undefined) return tell(outcomes)
      this.server.sent.push(sent)
      const { delay, outcome } = this.run(sent)
      if (outcome === undefined) return
      const end = () => {
        const ended = outcome()
        outcomes.push(ended)
        if (ended._tag === "Rows") return next()
        if (ended._tag === "Failure") this.control.failed(sent.text)
        tell(outcomes)
      }
      if (delay > 0) callOff = after(this.server.time, delay, end)
      else end()
    }
    next()
    return () => callOff()
  }

  private statementsOf(text: string): ReadonlyArray<string> {
    const statements = statementsIn(text)
    const isOne = statements.length < 2 || this.server.hasAnswer({ text: normal(text), values: [], session: this.n })
    return isOne ? [text] : statements
  }

  private run(sent: Api.Sent): Running {
    const refusal = this.control.refusal(sent.text)
    if (refusal !== undefined) return { delay: 0, outcome: () => refusal }
    try {
      const answer = this.server.answerTo(sent)
      if (answer === undefined) {
        return { delay: 0, outcome: () => orFailure(() => this.byItself(sent) ?? this.unscripted(sent)) }
      }
      const { delay, outcome } = answer
      if (outcome === "hangs") return { delay, outcome: undefined }
      return { delay, outcome: () => orFailure(() => this.scripted(sent, outcome)) }
    } catch (error) {
      return { delay: 0, outcome: () => scriptFailed(error) }
    }
  }

  /** What a statement does to the session, such as COMMIT, it does as well if its success is scripted. */
  private scripted(sent: Api.Sent, outcome: ((sent: Api.Sent) => Outcome) | undefined): Outcome {
    if (outcome === undefined) return this.byItself(sent) ?? done(commandOf(sent.text, 0))
    const scripted = outcome(sent)
    if (scripted._tag !== "Rows") return scripted
    const own = this.byItself(sent)
    if (own?._tag === "Failure") return own
    // A COMMIT of a transaction that has failed says ROLLBACK.
    return own?._tag === "Rows" && own.columns.length === 0 ? { ...scripted, command: own.command } : scripted
  }

  /** What the last statement of a text gives without a script, or the first one that fails. */
  private byItself({ text, values }: Api.Sent): Outcome | undefined {
    let own: Outcome | undefined
    for (const statement of statementsIn(text)) {
      own = this.control.answer(normal(statement), values)
      if (own?._tag === "Failure") return own
    }
    return own
  }

  private unscripted(sent: Api.Sent): Outcome {
    const text = JSON.stringify(sent.text)
    const why = this.server.hasAnswer(sent)
      ? "All that is scripted for this statement was for fewer times"
      : "Nothing is scripted for this statement"
    return failure("XX000", `${why}: ${text}. Add { text: ${text}, rows: [...] } to the statements of the script`)
  }
}

const orFailure = (outcome: () => Outcome): Outcome => {
  try {
    return outcome()
  } catch (error) {
    return scriptFailed(error)
  }
}
