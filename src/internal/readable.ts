/** @internal */
import * as Inspectable from "effect/Inspectable"
import { causes, isError, saysAll } from "./words.js"

type ErrorClass = new(...args: Array<any>) => Error & { readonly _tag: string; toJSON(): unknown }

/**
 * A class whose errors are easy to read when they are printed. They show no stack frames of the pool and its driver,
 * which only say that a socket had data. They show frames of the user's code, if that has failed, for instance in
 * `onConnect`.
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
 * The same, and the cause is not printed, because the headline has its words. `console.log`, Node at its end, and
 * `Cause.pretty` all ask with `in` whether there is a cause, so only `in` says no: `error.cause` gives it. This is for
 * causes that only this package has. Causes that programs know from `@effect/sql-pg` are found as they are there.
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
        // The name of the error says it already.
        _tag: { enumerable: false }
      })
    }

    override toJSON(): unknown {
      return { _tag: this._tag, ...super.toJSON() as object }
    }

    /** In Effect's errors this returns the error itself, and assertion libraries then ask again without an end. */
    [Inspectable.NodeInspectSymbol](): unknown {
      return this.stack
    }

    /** Else a proxy among the prototypes hides that it is an error. */
    get [Symbol.toStringTag](): string {
      return "Error"
    }
  }
  Object.defineProperty(Caused.prototype, "cause", {
    configurable: true,
    get(this: { readonly [kept]?: unknown }) {
      return this[kept]
    },
    // The constructor of the base class sets it.
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

/** Frames in files that belong neither to Node, nor to a package, nor to this one. */
const usersFrames = (stack: unknown): ReadonlyArray<string> =>
  String(stack).split("\n").filter((line) =>
    /^\s+at .*[\\/].*:\d+:\d+\)?$/.test(line) && !/\bnode:|[\\/]node_modules[\\/]/.test(line) && !line.includes(here)
  )

/** As it is written in a frame, which has a path or a URL. */
const here = new URL("..", import.meta.url).pathname

/**
 * Removes the frames of an error of the driver or the socket: they are never the user's. A program may print the cause
 * and not the error.
 *
 * @internal
 */
export const withoutFrames = (cause: unknown): void => {
  if (isError(cause)) Reflect.set(cause, "stack", `${cause.name}: ${cause.message}`)
}
