/** @internal */
import type * as Api from "../../Testing.js"
import type { Time } from "../time/time.js"
import { after } from "../time/time.js"
import { scriptFailed } from "./control.js"
import { refused } from "./gateway.js"
import { MemorySocket } from "./memorySocket.js"
import * as Wire from "./messages.js"
import { Network } from "./network.js"
import type { Answer, Fate, Script } from "./script.js"
import { ScriptedSession } from "./scriptedSession.js"

/**
 * A server within the process that answers by a script. Its sockets are memory, and its times are those of a clock.
 *
 * @internal
 */
export class ScriptedServer {
  readonly network: Network
  /** All statements that came, in their order. */
  readonly sent: Array<Api.Sent> = []
  /** By their numbers, which are their processes as well. */
  readonly sessions = new Map<number, ScriptedSession>()
  private answers: ReadonlyArray<Answer>
  private readonly connected = new Set<MemorySocket>()
  private connects = 0

  constructor(private readonly script: Script, readonly time: Time) {
    this.network = new Network(time)
    this.answers = script.statements
  }

  /** From now on these come before those that there are. */
  answer(more: ReadonlyArray<Answer>): void {
    this.answers = [...more, ...this.answers]
  }

  /** The answer to a statement. One that is for so many times counts this one. */
  answerTo(sent: Api.Sent): Answer | undefined {
    const answer = this.answers.find(({ left, matches }) => left > 0 && matches(sent))
    if (answer !== undefined) answer.left--
    return answer
  }

  /** Whether the script has an answer to it, or had one for fewer times. */
  hasAnswer(sent: Api.Sent): boolean {
    return this.answers.some(({ matches }) => matches(sent))
  }

  readonly notify = (channel: string, payload: string): void => {
    for (const session of this.sessions.values()) session.notify(channel, payload)
  }

  /** A socket that leads here, wherever it is told to connect. */
  readonly socket = (): MemorySocket => {
    const socket = new MemorySocket()
    const connect = (port: number | string, host?: string): MemorySocket => {
      const to = typeof port === "string" ? { path: port } : { port, host: host ?? "localhost" }
      const refuse = () => void socket.destroy(refused(to))
      process.nextTick(() => {
        if (socket.destroyed) return
        if (this.network.refusing) return refuse()
        this.connected.add(socket.once("close", () => this.connected.delete(socket)))
        this.network.accept(socket.join(), () => this.serve(refuse))
        socket.emit("connect")
      })
      return socket
    }
    return Object.assign(socket, { connect })
  }

  /** The program's own ends of all connections. */
  readonly sockets = (): ReadonlyArray<MemorySocket> => [...this.connected]

  /** Makes the server's end of a connection, and gives the other one. */
  private serve(refuse: () => void): MemorySocket {
    const end = new MemorySocket()
    const here = end.join().on("error", () => {})
    let session: ScriptedSession | undefined
    const starts = (code: number, whole: Buffer) => {
      if (code === Wire.sslRequest) here.write("N")
      else if (code === Wire.cancelRequest) {
        this.sessions.get(whole.readInt32BE(8))?.cancel()
        here.end()
      } else this.decide(here, refuse, (accepted) => session = accepted)
    }
    here.on("data", new Wire.Requests(starts, (kind, body) => session?.requested(kind, body)).take)
    return end
  }

  /** A login becomes what the script says. */
  private decide(here: MemorySocket, refuse: () => void, accept: (session: ScriptedSession) => void): void {
    const n = ++this.connects
    const fate = this.fateOf(n)
    if (fate._tag === "Hangs") return
    const decide = () => {
      if (here.destroyed) return
      if (fate._tag === "Refused") refuse()
      else if (fate._tag === "Failure") here.end(Wire.message("E", Wire.fields(fate.fields)))
      else {
        accept(new ScriptedSession(this, n, here))
        here.write(Buffer.concat(greeting(n)))
      }
    }
    if (fate.delay > 0) after(this.time, fate.delay, decide)
    else decide()
  }

  private fateOf(n: number): Fate {
    try {
      return this.script.fateOf(n)
    } catch (error) {
      // As refused for good, so that callers don't wait for a better answer.
      return {
        _tag: "Failure",
        delay: 0,
        fields: { ...scriptFailed(error).fields, S: "FATAL", V: "FATAL", C: "28000" }
      }
    }
  }
}

const greeting = (processId: number): ReadonlyArray<Buffer> =>
  Wire.greeting.map((message) => message[0] === "K".charCodeAt(0) ? Wire.keyData(processId, processId) : message)
