/** @internal */
import * as Effect from "effect/Effect"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { awaiting } from "../../effects.js"
import { leaveAfter } from "../../time/deadline.js"
import type { Canceller } from "./canceller.js"
import type { Session } from "./session.js"
import type { Strays } from "./strays.js"

/**
 * - `open`: it has not ended.
 * - `left running`: it was given up here, but the server may go on with what runs. The socket stays open for a while: it
 *   tells of the end, for which the server was asked.
 * - `cut`: its socket was reset, so that the server can send nothing more, and begin nothing that it would have to answer.
 *   The cancel of what runs goes on.
 * - `over`: as far as is known nothing of it is left.
 */
type Phase = "open" | "left running" | "cut" | "over"

/**
 * How a session ends: it is closed, it is given up in one of several ways, or the connection is lost. It ends once, and
 * what comes after that changes no phase.
 *
 * @internal
 */
export class Ending {
  /** How the connection was lost. */
  loss: unknown = undefined
  /** The server's last words: what it had not answered by then it has not done. */
  farewell: unknown = undefined
  private phase: Phase = "open"
  /** The socket was closed here, and not by the server. */
  private isClosedHere = false
  /** The one below TLS. */
  private readonly socket: Duplex

  constructor(
    private readonly session: Session,
    private readonly canceller: Canceller,
    private readonly onLost: (session: Session) => void
  ) {
    const { client } = session
    this.socket = client.connection.stream
    // From birth to death: an error without a listener would end the process (R17).
    client.on("error", (error) => {
      this.loss ??= error
      this.onLost(session)
    })
    client.on("end", () => {
      this.loss ??= new Error("Connection terminated")
      this.end("over")
    })
  }

  get isOpen(): boolean {
    return this.phase === "open"
  }

  /**
   * Says good-bye and waits for the socket to close. A statement that still runs is cancelled, so that it doesn't outlive
   * us on the server (R13). What takes more than half of the time that there is for clean-up is given up.
   */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const { flight, target } = this.session
    if (flight.readies === 0) return Effect.sync(() => this.destroy())
    if (!this.isOpen) return Effect.void
    this.session.interrupted()
    return leaveAfter(
      Effect.zipRight(this.session.settled, this.goodbye),
      target.reach.cleanupTimeout / 2,
      target.io.clock
    ).pipe(
      Effect.zipRight(Effect.sync(() => this.giveUp("it was closed", this.canceller.hasReached)))
    )
  })

  private readonly goodbye = Effect.async<void>((resume) => {
    if (this.isOpen) this.session.client.end(() => resume(Effect.void))
    else resume(Effect.void)
  })

  /**
   * Gives the session up, whatever runs. `mayRunOn`: the server is there, so it may well go on with what it was asked
   * for. Then the socket is not destroyed yet.
   */
  giveUp(why: string, mayRunOn: boolean): void {
    if (!this.isOpen) return
    const { client, flight } = this.session
    if (!mayRunOn || flight.isQuiet) return this.destroy(why)
    this.loss ??= new Error(why)
    if (flight.hasUnbegun) this.reset()
    // The socket stays open: a proxy in between would answer its end with its own, whatever the server does.
    else client.connection.stream.write(terminate)
    client._errorAllQueries(this.loss)
    this.end("left running")
  }

  /** Gives the session up so that the server can send nothing more. */
  cut(why: string): void {
    this.loss ??= new Error(why)
    this.reset()
    this.end("cut")
  }

  /** Gives the session up at once. */
  destroy(why?: string): void {
    if (why !== undefined) this.loss ??= new Error(why)
    if (this.phase !== "cut") this.canceller.giveUp()
    this.session.client.connection.stream.destroy()
    this.end("over")
  }

  /** The server does not keep to the protocol: nothing that it sends can be trusted any more. */
  violated(error: unknown): void {
    this.loss ??= error
    this.destroy()
  }

  /** Ends when the server has let go of it as well, or need not be waited for. */
  released(strays: Strays): Effect.Effect<void> {
    const gone = Effect.suspend(() =>
      this.mayRunOn ? Effect.interruptible(strays.leave(this.session, this.closedByServer)) : Effect.void
    )
    return Effect.suspend(() => this.phase === "cut" ? Effect.zipRight(this.canceller.rested, gone) : gone).pipe(
      Effect.uninterruptible,
      Effect.withClock(this.session.target.io.clock),
      Effect.ensuring(Effect.sync(() => this.destroy()))
    )
  }

  /** Its socket makes room for that of a session that asks the server about it. Without a key nobody can ask. */
  letGo(): void {
    if (this.session.processId === 0) return
    this.isClosedHere = true
    this.session.client.connection.stream.destroy()
  }

  private get mayRunOn(): boolean {
    return this.phase === "left running" || (this.phase === "cut" && this.canceller.hasReached)
  }

  /** Of a socket that was closed here nobody hears when the server closes it. */
  private readonly closedByServer = awaiting<void, never>((resume) => {
    const { stream } = this.session.client.connection
    const listener = () => {
      if (!this.isClosedHere) resume(Effect.void)
    }
    if (stream.destroyed) listener()
    else stream.once("close", listener)
    return () => stream.off("close", listener)
  })

  private reset(): void {
    const { socket } = this
    this.isClosedHere = true
    if (socket instanceof Socket && socket.remoteAddress !== undefined) socket.resetAndDestroy()
    this.session.client.connection.stream.destroy()
  }

  private end(phase: Phase): void {
    if (!this.isOpen) return
    const { endsTransaction, flight } = this.session
    if (endsTransaction) this.session.onRollback()
    this.phase = phase
    flight.ended()
    this.onLost(this.session)
    flight.tell()
  }
}

/** The message with which a client says good-bye. */
const terminate = Buffer.from([0x58, 0, 0, 0, 4])
