/** @internal */
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import Dns from "node:dns"
import { isIP } from "node:net"
import { WrongRole } from "../../../PgError.js"
import { within } from "../../time/deadline.js"
import type { Role } from "../config/attrs.js"
import { roleOf } from "../config/attrs.js"
import type { Host } from "../config/hosts.js"
import { labelOf } from "../config/hosts.js"
import type { Target } from "../config/target.js"
import { connectError, noAnswer, noHost } from "../errors/errors.js"
import { isPermanent } from "../errors/permanent.js"

/** Where a session is opened: a host, and the address that is taken of those that it has. @internal */
export interface Place {
  readonly host: Host
  /** `undefined`: the host's name is all that there is to say. */
  readonly address: string | undefined
}

/** @internal */
export interface Failure {
  readonly place: string
  readonly error: SqlError
}

/** What a dial needs of a target. @internal */
export interface DialSettings extends Pick<Target, "hosts" | "stream" | "connectTimeout" | "reach" | "io"> {}

/** Opens a session, in a scope that closes it, and fails if it does not have that role. @internal */
export type Open<A> = (place: Place, role: Role) => Effect.Effect<A, SqlError, Scope.Scope>

/**
 * In milliseconds. A silent host is left by so much before the pool no longer relies on the dial (R6): the dials that begin
 * then know that it is to be tried last. So callers don't wait for long because the first host is silent. The last host
 * that is tried has all the time that is left.
 */
const aLittle = 50

/**
 * Tries hosts, and the addresses of each, one after the other until one can be used, as libpq does:
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS. Never two at the same time, as each
 * is a session on a server for which there is one permit.
 *
 * @internal
 */
export const dial = <A>(
  settings: DialSettings,
  open: Open<A>
): Effect.Effect<A, SqlError, Scope.Scope> => {
  const run = new Dial(settings, open)
  return Effect.mapError(run.run, (failures) => failures.length === 1 ? failures[0].error : noHost(failures))
}

type Attempt<A> = Effect.Effect<A, ReadonlyArray<Failure>, Scope.Scope>

class Dial<A> {
  constructor(private readonly settings: DialSettings, private readonly open: Open<A>) {}

  readonly run: Attempt<A> = Effect.suspend(() => {
    const { connectTimeout, hosts: { attrs, list }, io } = this.settings
    // A little less, so that the error says which host failed and why, and not that the dial as a whole took too long.
    const until = io.now() + connectTimeout * 0.95
    return Effect.flatMap(
      this.inOrder(list),
      (list) => attrs === "prefer-standby" ? this.preferStandby(list, until) : this.anyOf(list, attrs, until)
    )
  })

  /** A host that was no standby a moment ago, or failed, is not asked for one again until any host will do. */
  private preferStandby(list: ReadonlyArray<Host>, until: number): Attempt<A> {
    const { hosts: { faults }, io } = this.settings
    const hopeful = list.filter((host) => faults.isGood(nameOf(host), io.now()))
    return Effect.catchAll(this.anyOf(hopeful, "standby", until, 1), () => this.anyOf(list, "any", until))
  }

  /** `later`: how many are still to be tried when all of these have failed. */
  private anyOf(list: ReadonlyArray<Host>, role: Role, until: number, later = 0): Attempt<A> {
    // Where nothing else is left to be tried, the pool watches over `connectTimeout`.
    const isOnlyHost = list.length === 1 && later === 0
    return this.firstOf(
      list,
      role,
      until,
      later,
      nameOf,
      (host, until) =>
        Effect.flatMap(this.placesOf(host, isOnlyHost ? Infinity : until), (places) => {
          const isOnly = isOnlyHost && places.length === 1
          const tryPlace = (place: Place, until: number) => this.attempt(place, role, isOnly ? Infinity : until)
          return Effect.mapError(this.firstOf(places, role, until, 0, labelOfPlace, tryPlace), thatCount)
        })
    )
  }

  /** One after the other, each within its part of the time. */
  private firstOf<B>(
    candidates: ReadonlyArray<B>,
    role: Role,
    until: number,
    later: number,
    labelOf: (candidate: B) => string,
    tryOne: (candidate: B, until: number) => Attempt<A>
  ): Attempt<A> {
    const { hosts: { attrs, faults }, io } = this.settings
    const partOf = (left: number) => this.partOf(until, left)
    return Effect.gen(function*() {
      let failures: ReadonlyArray<Failure> = []
      let left = candidates.length + later
      for (const candidate of faults.sort(candidates, labelOf, io.now())) {
        const outcome = yield* Effect.either(tryOne(candidate, partOf(left--)))
        if (Either.isRight(outcome)) {
          // A primary that is taken for want of a standby still has the wrong role.
          if (role === roleOf(attrs) && attrs !== "prefer-standby") faults.forget(labelOf(candidate))
          return outcome.right
        }
        failures = failures.concat(outcome.left)
        const isWrong = outcome.left.some(({ error }) => error.cause instanceof WrongRole)
        faults.note(labelOf(candidate), isWrong ? "wrong role" : "failed", io.now())
      }
      return yield* Effect.fail(failures)
    })
  }

  private inOrder<B>(list: ReadonlyArray<B>): Effect.Effect<ReadonlyArray<B>> {
    return this.settings.hosts.isRandom ? Effect.map(Random.shuffle(list), Chunk.toReadonlyArray) : Effect.succeed(list)
  }

  private placesOf(host: Host, until: number): Effect.Effect<ReadonlyArray<Place>, ReadonlyArray<Failure>> {
    // Names are left to a `stream` that makes the sockets.
    const looksUp = this.settings.stream === undefined
    if (!looksUp || host.name.startsWith("/") || isIP(host.name) !== 0) {
      return Effect.succeed([{ host, address: undefined }])
    }
    return lookUp(host.name).pipe(
      this.before(until),
      Effect.flatMap((addresses) => this.inOrder(addresses)),
      Effect.mapBoth({
        onFailure: (error) => [{ place: nameOf(host), error }],
        onSuccess: (addresses) => addresses.map((address) => ({ host, address }))
      })
    )
  }

  /** Its session is closed with the scope around it, and at once if the attempt fails: the next one takes its permit. */
  private attempt(place: Place, role: Role, until: number): Attempt<A> {
    return Effect.scopeWith((outer) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          Scope.fork(outer, ExecutionStrategy.sequential),
          (scope) =>
            restore(Scope.extend(this.before(until)(this.open(place, role)), scope)).pipe(
              Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
            )
        )
      )
    ).pipe(Effect.mapError((error) => [{ place: labelOfPlace(place), error }]))
  }

  private partOf(until: number, left: number): number {
    const { io, reach: { youngFor } } = this.settings
    return left === 1 ? until : io.now() + Math.min((until - io.now()) / left, youngFor - aLittle)
  }

  private before(until: number) {
    const { io } = this.settings
    const millis = Math.max(0, until - io.now())
    return <B, R>(effect: Effect.Effect<B, SqlError, R>): Effect.Effect<B, SqlError, R> =>
      within(effect, { millis, clock: io.clock, onTimeout: () => noAnswer(millis) })
  }
}

/** Where one address of a name has refused for good, the others need have no server: `localhost` has two. */
const thatCount = (failures: ReadonlyArray<Failure>): ReadonlyArray<Failure> => {
  const refusals = failures.filter(({ error }) => isPermanent(error))
  return refusals.length > 0 ? refusals : failures
}

/**
 * Looks up as `net.connect` does, but gives all addresses. A program may have replaced Node's function by one of its own,
 * which gives one address, or none.
 */
const lookUp = (name: string): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  Effect.async((resume) =>
    Dns.lookup(name, { all: true, hints: Dns.ADDRCONFIG }, (error: unknown, found: unknown) => {
      const addresses = new Set([found].flat().flatMap(addressOf))
      if (error || addresses.size === 0) resume(Effect.fail(connectError(error || new Error(`${name} has no address`))))
      else resume(Effect.succeed([...addresses]))
    })
  )

const addressOf = (found: unknown): ReadonlyArray<string> => {
  const address = Predicate.hasProperty(found, "address") ? found.address : found
  return typeof address === "string" ? [address] : []
}

const nameOf = ({ name, port }: Host): string => labelOf(name, port)

const labelOfPlace = ({ address, host }: Place): string =>
  address === undefined ? nameOf(host) : `${nameOf(host)} (${address})`
