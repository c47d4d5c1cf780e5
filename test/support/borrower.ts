import { Effect, Exit } from "effect"
import type { Shareable } from "../../src/internal/elasticPool.js"
import { makeState } from "../../src/internal/elasticPool.js"
import type { Loan } from "../../src/internal/pool/loan.js"
import type { ElasticPoolState } from "../../src/internal/pool/pool.js"
import type { Slot } from "../../src/internal/pool/slot.js"
import type { Fake, FakeFailure } from "./fakeResource.js"
import { FakeResource } from "./fakeResource.js"

export type State = ElasticPoolState<Fake, FakeFailure>

/** One who asks for a connection, for itself or together with others. */
export class Borrower {
  private loan: Loan<Fake> | undefined = undefined
  failure: Exit.Exit<unknown, unknown> | undefined = undefined
  private readonly waiter: ReturnType<State["request"]>

  /** `onEnd`: what it does in the moment in which its wait ends. */
  constructor(private readonly state: State, readonly shares: boolean, onEnd = () => {}) {
    this.waiter = state.request(shares, (exit) => {
      if (Exit.isSuccess(exit)) {
        this.loan = exit.value
        this.loan.begin()
      } else this.failure = exit
      onEnd()
    })
  }

  get slot(): Slot<Fake> | undefined {
    return this.loan?.slot
  }

  get isWaiting(): boolean {
    return this.loan === undefined && this.failure === undefined
  }

  /** Gives back what it has, or ends its wait. */
  leave(): void {
    if (this.loan !== undefined) this.loan.end()
    else if (this.waiter !== undefined) this.state.leave(this.waiter)
  }
}

export interface Options extends Partial<Shareable<Fake>> {
  readonly maxsize: number
  readonly maxoverflow?: number
  readonly maxwait?: number
  readonly maxUses?: number
  readonly maxWaiting?: number
  readonly whenFull?: "fail"
  readonly acquireTimeout?: number | undefined
}

export const make = ({ canShare = () => true, share = 3, ...options }: Options, fake = new FakeResource()) =>
  Effect.map(
    makeState({ ...fake.options, expiresJitter: 0, closeTimeout: 0, acquireTimeout: "1 hour", ...options }, {
      share,
      canShare
    }),
    (state) => ({ state, fake, ask: (shares: boolean, onEnd?: () => void) => new Borrower(state, shares, onEnd) })
  )

/** Lets the pool's fibers go on until nothing is left to do but wait. */
export const settle = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

export const times = <A>(n: number, f: () => A): Array<A> => Array.from({ length: n }, f)
