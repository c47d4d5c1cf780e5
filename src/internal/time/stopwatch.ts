/** @internal */

/**
 * A time in seconds, for the difference to another one. It is finer than the pool's own clock, which counts whole
 * milliseconds: most statements take less than one.
 *
 * @internal
 */
export const secondsNow = (): number => performance.now() / 1000
