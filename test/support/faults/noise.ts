/**
 * What a busy machine is granted, in one place: all limits of the cases are as they should be for users, and are
 * checked with this. A pool that loses a permit, waits for a timeout of its own or dials in step is far outside.
 */

/** The full rate is this part of what it was before: other programs run on the same cores. */
export const fullRate = 0.8

/** A rate is looked at in windows of so many milliseconds. */
export const window = 100

/**
 * Added to limits of time, and so is what ten connects without any pool took just before: a window, and a scheduler that
 * lets this process or the server wait. Milliseconds.
 */
export const slack = 250

/** What a rate is compared with that lasts for seconds: the machine may be slower now than it was before. */
export const unhurried = (before: number, after: number): number => Math.min(before, after)

/**
 * Added to the 100 ms that a caller may be later than its deadline: the first call of all compiles what it runs through,
 * and the garbage of ten thousand is collected.
 */
export const pauses = 100

/** Added to a difference of two parts of so many calls, which is partly chance: two standard deviations. */
export const chance = (part: number, calls: number): number => 2 * Math.sqrt(2 * part * (1 - part) / calls)
