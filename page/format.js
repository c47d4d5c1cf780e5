// Numbers and times as the page writes them.

/** The narrow space between a number and its unit, where no line ends. */
const space = "\u202f"

/** @param {number} millis */
export const time = (millis) => {
  if (millis < 10 && millis > 0 && !Number.isInteger(millis)) return `${millis.toFixed(1)}${space}ms`
  if (millis < 1000) return `${Math.round(millis)}${space}ms`
  if (millis < 10_000) return `${(millis / 1000).toFixed(2)}${space}s`
  if (millis < 100_000) return `${(millis / 1000).toFixed(1)}${space}s`
  if (millis < 6_000_000) return `${Math.round(millis / 60_000)}${space}min`
  return `${Math.round(millis / 3_600_000)}${space}h`
}

/** Short, for an axis: `200 ms`, `1.5 s`. @param {number} millis */
export const axisTime = (millis) =>
  millis === 0 ? "0" : millis < 1000 ? `${+millis.toFixed(1)}${space}ms` : `${+(millis / 1000).toFixed(1)}${space}s`

/** @param {number} count */
export const count = (count) => count.toLocaleString("en")

/** @param {number} perSecond */
export const rate = (perSecond) => `${perSecond < 10 ? +perSecond.toFixed(1) : count(Math.round(perSecond))}/s`

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })

/** The time of day. @param {number} millis since 1970 */
export const clock = (millis) => clockFormat.format(millis)
