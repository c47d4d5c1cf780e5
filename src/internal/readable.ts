/** @internal */
import * as Inspectable from "effect/Inspectable"
import { causes, isError, saysAll } from "./words.js"

type ErrorClass = new(...args: Array<any>) => Error & { readonly _tag: string; toJSON(): unknown }

/**
 * A class whose errors can be read where they are printed. They have no frames of the pool and its driver, which say only
 * that a socket has had something to tell; but those of the user's, of which there are some where something that the user
 * has written failed, such as `onConnect`.
 *
 * @internal
 */
export const readable = <C extends ErrorClass>(Base: C): C => {
  class Readable extends (Base as ErrorClass) {
    constructor(...args: Array<any>) {
      super(...args)
      delete this.stack
    }

    get [saysAll](): true {
      return true
    }
  }
  Object.defineProperty(Readable.prototype, "stack", {
    configurable: true,
    get(this: Error) {
      // A cause that is printed has its own.
      const frames = "cause" in this ? [] : framesOf(this.cause)
      return [`${this.name}: ${this.message}`, ...frames].join("\n")
    },
    set(stack: unknown) {
      Object.defineProperty(this, "stack", { value: stack, configurable: true, writable: true })
    }
  })
  return Readable as unknown as C
}

/**
 * The same, and the cause is not printed: the headline has its words. `console.log`, Node where it ends, and
 * `Cause.pretty` all look with `in` whether there is one. That is the one thing that they are told otherwise: whoever
 * reads `error.cause` is given it. For causes that only this package has: what programs know from `@effect/sql-pg` is
 * to be found as it is there.
 *
 * @internal
 */
export const headlineOnly = <C extends ErrorClass>(Base: C): C => {
  class Caused extends (readable(Base) as ErrorClass) {
    constructor(...args: Array<any>) {
      super(...args)
      const { cause } = this
      delete this.cause
      Object.defineProperties(this, {
        [kept]: { value: cause },
        // It is the name as well.
        _tag: { enumerable: false }
      })
    }

    override toJSON(): unknown {
      return { _tag: this._tag, ...super.toJSON() as object }
    }

    /** Of Effect's errors this gives the error itself, and who asks again, as assertion libraries do, asks for ever. */
    [Inspectable.NodeInspectSymbol](): unknown {
      return this.stack
    }

    /** With a proxy among its prototypes it would not be one for them. */
    get [Symbol.toStringTag](): string {
      return "Error"
    }
  }
  Object.defineProperty(Caused.prototype, "cause", {
    configurable: true,
    get(this: { readonly [kept]?: unknown }) {
      return this[kept]
    },
    // For the constructor of the class above.
    set(cause: unknown) {
      Object.defineProperty(this, "cause", { value: cause, configurable: true, writable: true })
    }
  })
  class HeadlineOnly extends Caused {}
  const hidden = { has: (target: object, key: PropertyKey) => key !== "cause" && key in target }
  Object.setPrototypeOf(HeadlineOnly.prototype, new Proxy(Caused.prototype, hidden))
  return HeadlineOnly as unknown as C
}

const kept = Symbol.for("effect-pgpool/cause")

/** Of the outermost cause that has any. */
const framesOf = (cause: unknown): ReadonlyArray<string> => {
  for (const error of causes(cause)) {
    const frames = isError(error) ? usersFrames(error.stack) : []
    if (frames.length > 0) return frames
  }
  return []
}

/** Those in a file that is not of Node, of a package, or of this one. */
const usersFrames = (stack: unknown): ReadonlyArray<string> =>
  String(stack).split("\n").filter((line) =>
    /^\s+at .*[\\/].*:\d+:\d+\)?$/.test(line) && !/\bnode:|[\\/]node_modules[\\/]/.test(line) && !line.includes(here)
  )

/** As it stands in a frame, be that of a path or of an URL. */
const here = new URL("..", import.meta.url).pathname

/**
 * What the driver and the socket fail with, of which the frames are never the user's. They are left out, in case a
 * program passes on the cause and not the error.
 *
 * @internal
 */
export const withoutFrames = (cause: unknown): void => {
  if (isError(cause)) Reflect.set(cause, "stack", `${cause.name}: ${cause.message}`)
}
