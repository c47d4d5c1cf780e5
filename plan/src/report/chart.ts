/** Draws the p99 wait of each candidate against its mean connections, with the best ones joined. */
import { scaleLinear, scaleSymlog } from "d3-scale"
import { line, symbol, symbolCircle, symbolDiamond, symbolSquare, symbolTriangle } from "d3-shape"
import * as Arr from "effect/Array"
import * as Order from "effect/Order"
import type { Outcome } from "../model.js"
import type { Plan } from "../plan.js"
import { oneDigit, percent, pool, refusedPart, time, wait } from "./words.js"

const size = { width: 860, height: 440 }
const plot = { left: 76, right: 836, top: 64, bottom: 380 }

/** Light and dark as the reader has it; a page around the chart does not change it. */
export const style = `
.chart { --paper: #ffffff; --ink: #16191d; --faint: #57606b; --rule: #e3e6ea; --point: #7c8894; --best: #0a6e7d;
  --chosen: #b3411e; font-family: system-ui, Helvetica, Arial, sans-serif; font-size: 13px; }
@media (prefers-color-scheme: dark) {
  .chart { --paper: #171b1f; --ink: #e8ebee; --faint: #9ba5b0; --rule: #2a3036; --point: #7f8b96; --best: #56c6d8;
    --chosen: #ff9a76; }
}
.chart .paper { fill: var(--paper); } .chart text { fill: var(--ink); } .chart .faint { fill: var(--faint); }
.chart .rule { stroke: var(--rule); } .chart .target { stroke: var(--faint); stroke-dasharray: 5 4; }
.chart .front { fill: none; stroke: var(--best); stroke-width: 2; }
.chart .point { fill: var(--point); stroke: var(--paper); } .chart .best { fill: var(--best); }
.chart .chosen { fill: var(--chosen); } .chart .ring { fill: none; stroke: var(--chosen); stroke-width: 2; }
.chart g:focus-visible { outline: 2px solid var(--best); outline-offset: 2px; }`

const shapes = [symbolCircle, symbolSquare, symbolTriangle, symbolDiamond]

interface Scales {
  readonly x: (connections: number) => number
  readonly y: (millis: number) => number
}

const placeOf = ({ x, y }: Scales, outcome: Outcome) =>
  `${round(x(outcome.meanConnections))},${round(y(outcome.wait.p99))}`

const round = (number: number): number => Math.round(10 * number) / 10

export const svg = (plan: Plan): string => {
  const { asked: { target }, chosen, front, outcomes } = plan
  // Waits are from nothing to seconds: the scale is linear up to a millisecond, and then each tenfold takes as much room.
  const limit = target.waits.find(([name]) => name === "p99-wait")?.[1]
  const longest = Math.max(1, limit ?? 0, ...outcomes.map(({ wait }) => wait.p99))
  const most = Math.max(1, ...outcomes.map(({ meanConnections }) => meanConnections))
  const x = scaleLinear([0, most * 1.05], [plot.left, plot.right])
  const y = scaleSymlog([0, longest * 1.3], [plot.bottom, plot.top]).constant(1)
  const scales = { x, y }
  const waits = [...new Set(outcomes.map(({ candidate }) => candidate.maxwait))]
  const joined = line<Outcome>().x((one) => round(x(one.meanConnections))).y((one) => round(y(one.wait.p99)))(front)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${size.width} ${size.height}" ` +
    `role="group" aria-label="p99 wait of each candidate against its mean connections">`,
    `<style>${style}</style>`,
    `<rect class="paper" width="${size.width}" height="${size.height}"/>`,
    ...x.ticks(8).map((n) => caption(x(n), plot.bottom + 20, `${n}`, "middle")),
    caption((plot.left + plot.right) / 2, plot.bottom + 44, "mean connections", "middle"),
    caption(plot.left - 60, plot.top - 36, "p99 wait", "start"),
    ...ticks(longest * 1.3).map((millis) =>
      `<path class="rule" d="M${plot.left},${round(y(millis))}H${plot.right}"/>` +
      caption(plot.left - 10, y(millis) + 4, time(millis), "end")
    ),
    ...legend(waits),
    ...limit === undefined ? [] : [
      `<path class="target" d="M${plot.left},${round(y(limit))}H${plot.right}"/>` +
      caption(plot.right, y(limit) - 6, `target ${time(limit)}`, "end")
    ],
    `<path class="front" d="${joined ?? ""}"/>`,
    // Those that matter are above the others.
    ...Arr.sortWith(outcomes, (one) => one === chosen ? 2 : front.includes(one) ? 1 : 0, Order.number).map((outcome) =>
      point(plan, outcome, scales, shapeOf(waits, outcome.candidate.maxwait))
    ),
    ...chosen === undefined ? [] : [`<circle class="ring" r="10" transform="translate(${placeOf(scales, chosen)})"/>`],
    "</svg>",
    ""
  ].join("\n")
}

const caption = (x: number, y: number, text: string, anchor: "start" | "middle" | "end"): string =>
  `<text class="faint" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${text}</text>`

const ticks = (longest: number): ReadonlyArray<number> =>
  [0, 1, 10, 100, 1000, 10_000, 100_000].filter((millis) => millis <= longest)

type Wait = Outcome["candidate"]["maxwait"]

const shapeOf = (waits: ReadonlyArray<Wait>, wait: Wait): string =>
  symbol(shapes[waits.indexOf(wait) % shapes.length], 70)() ?? ""

const legend = (waits: ReadonlyArray<Wait>): ReadonlyArray<string> =>
  waits.slice(0, shapes.length).map((maxwait, i) => {
    const x = plot.left + 140 * (i + 1)
    return `<path class="point" d="${shapeOf(waits, maxwait)}" transform="translate(${x},${plot.top - 40})"/>` +
      caption(x + 12, plot.top - 36, `maxwait ${wait(maxwait)}`, "start")
  })

const point = ({ chosen, front }: Plan, outcome: Outcome, scales: Scales, shape: string): string => {
  const rank = outcome === chosen ? "point chosen" : front.includes(outcome) ? "point best" : "point"
  const words =
    `${pool(outcome.candidate)}: p99 wait ${time(outcome.wait.p99)}, ${percent(refusedPart(outcome))} refused, ` +
    `${oneDigit(outcome.meanConnections)} connections on average, ${outcome.peakConnections} at most`
  return `<g tabindex="0" role="img" aria-label="${words}"><title>${words}</title>` +
    `<path class="${rank}" d="${shape}" transform="translate(${placeOf(scales, outcome)})"/></g>`
}
