/** @internal */
import { BadOption, Misuse } from "../decode.js"

/**
 * A number of milliseconds, which may have a fraction. It is asked often: what is allowed must cost nothing.
 *
 * @internal
 */
export const millis = (option: string, value: unknown, earliest = 0, or = ""): number => {
  if (typeof value === "number" && value >= earliest && value < Infinity) return value
  throw new Misuse(new BadOption(option, value, `a number of milliseconds, not less than ${earliest}${or}`).message)
}
