/** @internal */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { awaitAtMost, leaveAfter } from "../time/deadline.js"
import type { Reach } from "./reach.js"
import type { Log } from "./runtime.js"
import type { Command, Slot } from "./slot.js"

/**
 * The steps that a connection's fiber takes. The effects need nothing: their services are provided.
 *
 * @internal
 */
export interface Actions<A, E> {
  readonly acquire: Effect.Effect<A, E, Scope.Scope>
  readonly check: (a: A) => Effect.Effect<unknown, unknown>
  readonly reset: (a: A) => Effect.Effect<unknown, unknown>
  /**
   * Waits until the other side has let go of what was closed, or as long as is right: until then its permit is in use.
   * Where the pool closes, what of it can be interrupted is.
   */
  readonly released: (a: A) => Effect.Effect<unknown, unknown>
}

/**
 * The events that a connection's fiber tells the pool.
 *
 * @internal
 */
export interface Owner<A, E> {
  readonly opened: (slot: Slot<A>, value: A) => void
  readonly openFailed: (slot: Slot<A>, cause: Cause.Cause<E>) => void
  /** A check or a reset has succeeded. */
  readonly ready: (slot: Slot<A>) => void
  /** It was found dead or silent: others may be so too (R19). */
  readonly lost: (value: A) => void
  /** Always told, once, before it is closed. */
  readonly closing: (slot: Slot<A>) => void
}

/** The parts of the pool that the life of a connection needs. @internal */
export interface Surroundings {
  readonly ioClock: Clock.Clock
  readonly log: Log
  readonly reach: Reach
}

/** A connect took as long as it may. @internal */
export class ConnectTimedOut extends Cause.TimeoutException {
  constructor(connectTimeout: number) {
    super(`the connect took longer than connectTimeout (${connectTimeout} ms)`)
  }
}

/** @internal */
export const connectBrokenOff: Cause.Cause<never> = Cause.die(
  new Cause.RuntimeException("the fiber of a connection ended before it was open")
)

/**
 * The life of one connection: open it, follow the pool's commands, close it. It runs in a fiber of its own, which holds
 * the permit, so that a permit is in use exactly as long as its connection. An interrupt or a defect ends it as a
 * command to retire would, wherever it has come to: it is closed.
 *
 * The user's effects run in fibers below, each awaited with a deadline. So an effect that can't be interrupted holds up
 * neither an answer nor the permit: `cleanupTimeout` after its end was asked for it is left behind (R13, R14).
 *
 * @internal
 */
export const life = <A, E>(
  slot: Slot<A>,
  actions: Actions<A, E>,
  surroundings: Surroundings,
  owner: Owner<A, E>
): Effect.Effect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (scope) => {
      let connect: Fiber.RuntimeFiber<A, E> | undefined = undefined
      const service = Effect.gen(function*() {
        // The first one may come as soon as the pool knows that it has opened.
        const nextCommand = commandsOf(slot)
        connect = yield* Effect.forkDaemon(restore(Scope.extend(actions.acquire, scope)))
        const opened = yield* restore(awaitConnect(slot, connect))
        if (Exit.isFailure(opened)) return owner.openFailed(slot, opened.cause)
        // Between its end and this step the pool may have given it up.
        if (slot.state !== "opening") return
        owner.opened(slot, opened.value)
        yield* restore(follow(slot, nextCommand, actions, surroundings, owner))
      })
      return service.pipe(
        Effect.ensuring(Effect.sync(() => owner.closing(slot))),
        Effect.ensuring(Effect.suspend(() => close(slot, scope, connect, actions, surroundings)))
      )
    })
  )

const close = <A, E>(
  slot: Slot<A>,
  scope: Scope.CloseableScope,
  connect: Fiber.RuntimeFiber<A, E> | undefined,
  actions: Actions<A, E>,
  { ioClock, log, reach: { cleanupTimeout } }: Surroundings
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const close = Scope.close(scope, Exit.void)
    const end = connect?.unsafePoll() === null ? Fiber.interrupt(connect) : Effect.void
    const closed = yield* leaveAfter(Effect.zipRight(end, close), cleanupTimeout, ioClock)
    const exit = connect?.unsafePoll()
    // A step of `acquire` that hangs may have opened something before: that goes, whatever becomes of the step.
    if (exit === null) yield* leaveAfter(close, cleanupTimeout, ioClock)
    else if (exit?._tag === "Success") yield* Effect.exit(actions.released(exit.value))
    if (Option.isSome(closed)) return
    const limit = `cleanupTimeout (${Math.round(cleanupTimeout)} ms)`
    log.warn(`A connection (${slot.closeReason}) could not be closed within ${limit} and was left behind`)
  })

/** How the connect ended, or that it took too long. Then it goes on until `close`. */
const awaitConnect = <A, E>(slot: Slot<A>, connect: Fiber.RuntimeFiber<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.async((resume) => {
    slot.onTimeOut((connectTimeout) => resume(Effect.succeed(Exit.die(new ConnectTimedOut(connectTimeout)))))
    connect.addObserver((exit) => resume(Effect.succeed(exit)))
  })

/** Waits for the next command of the pool, which gives each one after the last has been followed. */
const commandsOf = <A>(slot: Slot<A>): Effect.Effect<Command> => {
  let next = Deferred.unsafeMake<Command>(FiberId.none)
  slot.onCommand((command) => Deferred.unsafeDone(next, Exit.succeed(command)))
  return Effect.suspend(() =>
    Effect.map(Deferred.await(next), (command) => {
      next = Deferred.unsafeMake(FiberId.none)
      return command
    })
  )
}

/** Ends when the connection is to be closed. */
const follow = <A, E>(
  slot: Slot<A>,
  nextCommand: Effect.Effect<Command>,
  actions: Actions<A, E>,
  { ioClock, reach }: Surroundings,
  owner: Owner<A, E>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (true) {
      const command = yield* nextCommand
      if (command === "retire") return
      // What the user gave may throw instead of an effect.
      const work = yield* Effect.forkDaemon(Effect.suspend(() => actions[command](slot.value)))
      const exit = yield* Effect.onError(
        awaitAtMost(work, reach.cleanupTimeout, ioClock),
        () => Fiber.interruptFork(work)
      )
      const isInTime = Option.isSome(exit)
      if (isInTime && Exit.isSuccess(exit.value)) owner.ready(slot)
      else {
        // A reset that fails may be due to what its borrower did.
        if (!isInTime || command === "check") owner.lost(slot.value)
        return yield* Fiber.interruptFork(work)
      }
    }
  })
