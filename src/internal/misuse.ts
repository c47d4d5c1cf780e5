/** @internal */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { BadOption } from "./options.js"
import { readable } from "./readable.js"

/** Where options are literals, a bad one is the programmer's mistake. @internal */
export const orDie = <A>(decoded: Either.Either<A, BadOption>): Effect.Effect<A> =>
  Either.isRight(decoded)
    ? Effect.succeed(decoded.right)
    : Effect.die(new Misuse(decoded.left.message))

class Misuse extends readable(Cause.IllegalArgumentException) {}
