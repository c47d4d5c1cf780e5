/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { PoolError } from "../../PoolError.js"
import type * as Api from "../../VirtualTime.js"
import { attempt, fieldsOf, ofType, orThrow } from "../decode.js"
import type { Loan } from "../pool/loan.js"
import { Attempts } from "../pool/loan.js"
import type { DecodedPool } from "../pool/options.js"
import { decodeLimits, decodePool, reachOf } from "../pool/options.js"
import { ElasticPoolState } from "../pool/pool.js"
import type { Runtime } from "../pool/runtime.js"
import type { Resource } from "../pool/settings.js"
import { millis } from "./millis.js"
import type { VirtualLoop } from "./virtualLoop.js"

/** A connection: nothing but who has it. */
class Connection {
  isBroken = false
  private loan: Loan<Connection> | undefined = undefined
  private caller: Api.VirtualCaller | undefined = undefined

  lend(loan: Loan<Connection>, caller: Api.VirtualCaller): void {
    this.loan = loan
    this.caller = caller
    caller.lent(loan)
  }

  /** Tells the last caller, which may have ended its loan. */
  lose(): void {
    const { caller, loan } = this
    if (loan === undefined || caller === undefined || loan.isOver) return
    if (caller.lost === undefined) loan.end()
    else caller.lost(loan)
  }
}

/** What a connect looks like. */
interface Connects {
  readonly takes: () => number
  readonly opens: () => boolean
}

const decode = (options: Api.VirtualPoolOptions | undefined): DecodedPool & Connects => {
  const { connect = 20, opens = () => true, ...rest } = fieldsOf("pool", options)
  ofType("opens", opens, "function")
  return { ...decodePool(rest), opens, takes: decodeConnect(connect) }
}

const decodeConnect = (connect: number | (() => number)): () => number => {
  if (typeof connect === "function") return () => millis("what connect gives", connect())
  const takes = millis("connect", connect, 0, ", or a function that gives one")
  return () => takes
}

/** What the pool must know of connections that are always well, and whose connects may succeed later. */
const resource: Omit<Resource<Connection, "failed">, "acquire"> = {
  check: () => Effect.void,
  reset: () => Effect.void,
  released: () => Effect.void,
  canCheck: false,
  canShare: () => false,
  isUsable: () => true,
  isRunning: undefined,
  processId: undefined,
  needsReset: () => false,
  isTransient: () => true,
  isPermanent: () => false
}

/**
 * A pool asked through its state machine, without a fiber for each request: a connection is lent by a call. Only its
 * connections and its timers have fibers, which the loop runs.
 *
 * @internal
 */
export class VirtualPool implements Api.VirtualPool {
  private readonly state: ElasticPoolState<Connection, "failed">
  /** Those that exist, or are being opened. */
  private readonly alive = new Set<Connection>()
  private begun = 0
  private peak = 0
  /** How many there were, summed over the time until `summedAt`. */
  private sum = 0
  private summedAt: number
  private readonly madeAt: number

  constructor(
    private readonly loop: VirtualLoop,
    runtime: Runtime,
    options?: Api.VirtualPoolOptions
  ) {
    this.madeAt = this.summedAt = loop.now
    const { opens, takes, ...decoded } = orThrow(attempt(() => decode(options)))
    this.state = new ElasticPoolState<Connection, "failed">(
      { ...decoded, share: 1 },
      { ...resource, acquire: this.acquire({ opens, takes }) },
      {
        ...runtime,
        reach: reachOf(options ?? {}, decoded),
        makeMeter: undefined
      }
    )
    this.state.start()
  }

  private acquire({ opens, takes }: Connects): Effect.Effect<Connection, "failed", Scope.Scope> {
    return Effect.suspend(() => {
      const connection = this.begin()
      const connect = Effect.async<Connection, "failed">((resume) => {
        const end = () => resume(!connection.isBroken && opens() ? Effect.succeed(connection) : Effect.fail("failed"))
        const time = this.timeOf(takes)
        return time === undefined ? resume(Effect.fail("failed")) : Effect.sync(this.loop.schedule(time, end))
      })
      return Effect.zipRight(Effect.addFinalizer(() => Effect.sync(() => this.end(connection))), connect)
    })
  }

  /** It is asked in the fiber of the connection, so that the pool would take its failure for one of the connect. */
  private timeOf(takes: () => number): number | undefined {
    try {
      return takes()
    } catch (defect) {
      this.loop.keep(defect)
      return undefined
    }
  }

  private begin(): Connection {
    const connection = new Connection()
    this.count()
    this.alive.add(connection)
    this.begun++
    this.peak = Math.max(this.peak, this.alive.size)
    return connection
  }

  private end(connection: Connection): void {
    this.count()
    this.alive.delete(connection)
  }

  private count(): void {
    this.sum += this.alive.size * (this.loop.now - this.summedAt)
    this.summedAt = this.loop.now
  }

  readonly request = (caller: Api.VirtualCaller): void => this.ask(caller)

  private ask(caller: Api.VirtualCaller, attempts?: Attempts): void {
    const told = (outcome: Exit.Exit<Loan<Connection>, "failed" | PoolError>) =>
      this.loop.call(() => {
        if (Exit.isSuccess(outcome)) this.lend(outcome.value, caller, attempts)
        // Only the pool itself refuses: it waits for a connect that fails.
        else caller.refused?.(Cause.squash(outcome.cause) as PoolError)
      })
    this.state.request(false, told, undefined, attempts)
  }

  /** What another caller does when it is told may have broken the connection since it was handed over. */
  private lend(loan: Loan<Connection>, caller: Api.VirtualCaller, before?: Attempts): void {
    if (loan.begin(before)) return loan.value.lend(loan, caller)
    const attempts = before ?? new Attempts()
    if (attempts.next(loan)) this.ask(caller, attempts)
    else caller.refused?.(this.state.refusals.lostTooOften(loan))
  }

  readonly breakConnections = (): void => {
    const broken = [...this.alive]
    for (const connection of broken) {
      connection.isBroken = true
      this.state.invalidate(connection)
    }
    // Not before the pool knows of all: else who ends a loan might be lent another broken one.
    for (const connection of broken) this.loop.call(() => connection.lose())
  }

  readonly resize: Api.VirtualPool["resize"] = (limits) => {
    const { maxoverflow, maxsize } = orThrow(attempt(() => decodeLimits(this.state.settings, limits)))
    this.state.operator.resize(maxsize, maxoverflow)
  }

  readonly close = (): void => this.state.lifecycle.close()

  readonly stats: Api.VirtualPool["stats"] = () => this.state.stats()

  readonly connections = (): Api.VirtualConnections => {
    this.count()
    const { alive: { size: now }, begun, loop, madeAt, peak, sum } = this
    return { now, mean: loop.now === madeAt ? now : sum / (loop.now - madeAt), peak, begun }
  }
}
