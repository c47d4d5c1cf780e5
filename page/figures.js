// The numbers at the top.
import { count, rate, time } from "./format.js"

/** @typedef {import("./charts.js").Sample} Sample */

/**
 * What a figure says: its number, a remark, and whether somebody may have to do something.
 *
 * @typedef {{ value: string, remark: string, isTrouble?: boolean }} Said
 */

/** @type {ReadonlyArray<readonly [name: string, say: (sample: Sample) => Said]>} */
const figures = [
  ["In use", ({ stats }) => ({
    value: count(stats.busy),
    remark: `of ${stats.maxsize}, at most ${stats.maxoverflow}`,
    isTrouble: stats.busy >= stats.maxoverflow
  })],
  ["Waiting", ({ stats }) => ({
    value: count(stats.waiting),
    remark: stats.waiting === 0 ? "nobody waits" : `the oldest for ${time(stats.oldestWait)}`,
    isTrouble: stats.oldestWait >= 1000
  })],
  ["Wait, p99", ({ stats: { waitTimes } }) => percentile(waitTimes, "p99", `p50 ${time(waitTimes.p50)}`)],
  ["Held, p50", ({ stats: { holdTimes } }) => percentile(holdTimes, "p50", `p99 ${time(holdTimes.p99)}`)],
  ["Connect, p50", ({ stats: { connectTimes } }) => percentile(connectTimes, "p50", `p99 ${time(connectTimes.p99)}`)],
  ["Loans", ({ perSecond: { acquired }, stats }) => ({
    value: acquired === null ? "–" : rate(acquired),
    remark: `${count(stats.acquired)} in all`
  })],
  ["Refused", ({ perSecond: { refused }, stats }) => ({
    value: count(sum(stats.refused)),
    remark: refusals(stats.refused),
    isTrouble: (refused ?? 0) > 0
  })],
  ["Connects failed", ({ perSecond: { connectFailures }, stats }) => ({
    value: count(stats.connectFailures),
    remark: stats.lastConnectError ?? `${count(stats.opened)} opened`,
    isTrouble: (connectFailures ?? 0) > 0
  })]
]

/** @param {any} times @param {"p50" | "p99"} which @param {string} remark @returns {Said} */
const percentile = (times, which, remark) =>
  times.count === 0 ? { value: "–", remark: "none in the last minute" } : { value: time(times[which]), remark }

/** @param {Record<string, number>} counts */
export const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0)

/** @param {Record<string, number>} refused */
const refusals = (refused) => {
  const reasons = Object.entries(refused).filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a)
  return reasons.length === 0 ? "nobody was" : reasons.map(([reason, n]) => `${reason} ${count(n)}`).join(", ")
}

/** @param {HTMLElement} list */
export const makeFigures = (list) => {
  const shown = figures.map(([name]) => {
    const figure = document.createElement("div")
    figure.innerHTML = "<dt></dt><dd class='value'></dd><dd class='remark'></dd>"
    const [dt, value, remark] = /** @type {Array<HTMLElement>} */ ([...figure.children])
    dt.textContent = name
    list.append(figure)
    return { figure, value, remark }
  })
  return (/** @type {Sample} */ sample) =>
    figures.forEach(([, say], i) => {
      const { isTrouble = false, remark, value } = say(sample)
      shown[i].value.textContent = value
      shown[i].remark.textContent = remark
      shown[i].remark.title = remark
      shown[i].figure.classList.toggle("trouble", isTrouble)
    })
}
