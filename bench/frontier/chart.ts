/** Draws the p99 of each pool against its mean connections, with the pools of one kind joined: as the planner draws them. */
import { scaleLinear, scaleLog } from "d3-scale"
import { line, symbol, symbolCircle, symbolSquare } from "d3-shape"
import { style } from "../../plan/src/report/chart.js"
import type { Point } from "./curve.js"
import { placed } from "./curve.js"

const size = { width: 860, height: 440 }
const plot = { left: 76, right: 836, top: 64, bottom: 380 }

interface Family {
  readonly title: string
  readonly points: ReadonlyArray<Point>
  readonly line: string
  readonly point: string
  readonly shape: string
  /** Where the size of a pool stands: on the side of its curve that the other curve is not on. */
  readonly label: { readonly x: number; readonly y: number; readonly anchor: Anchor }
}

type Anchor = "start" | "middle" | "end"

const familiesOf = (ours: ReadonlyArray<Point>, rivals: ReadonlyArray<Point>): ReadonlyArray<Family> => [
  {
    title: "pg-pool, by its max",
    points: placed(rivals),
    line: "rival",
    point: "point",
    shape: symbol(symbolSquare, 70)() ?? "",
    label: { x: 8, y: -6, anchor: "start" }
  },
  {
    title: "effect-pgpool, by its maxsize",
    points: placed(ours),
    line: "front",
    point: "point best",
    shape: symbol(symbolCircle, 70)() ?? "",
    label: { x: -6, y: 18, anchor: "middle" }
  }
]

interface Scales {
  readonly x: (connections: number) => number
  readonly y: (millis: number) => number
}

export const svg = (ours: ReadonlyArray<Point>, rivals: ReadonlyArray<Point>): string => {
  const families = familiesOf(ours, rivals)
  const all = families.flatMap(({ points }) => points)
  const times = all.map(({ p99 }) => p99)
  const x = scaleLinear([0, 1.1 * Math.max(1, ...all.map(({ mean }) => mean))], [plot.left, plot.right])
  // A small pool is slower by more than ten times in a burst.
  const y = scaleLog([0.8 * Math.min(...times), 1.3 * Math.max(...times)], [plot.bottom, plot.top])
  const label = y.tickFormat(6, ",")
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${size.width} ${size.height}" ` +
    `role="group" aria-label="p99 of each pool against its mean connections">`,
    `<style>${style}\n.chart .rival { fill: none; stroke: var(--point); stroke-width: 2; }</style>`,
    `<rect class="paper" width="${size.width}" height="${size.height}"/>`,
    ...x.ticks(8).map((n) => text(x(n), plot.bottom + 20, `${n}`, "middle")),
    text((plot.left + plot.right) / 2, plot.bottom + 44, "mean connections", "middle"),
    text(plot.left - 60, plot.top - 36, "p99 ms", "start"),
    ...y.ticks(6).filter((millis) => label(millis) !== "").map((millis) =>
      `<path class="rule" d="M${plot.left},${round(y(millis))}H${plot.right}"/>` +
      text(plot.left - 10, y(millis) + 4, label(millis), "end")
    ),
    ...families.map(legend),
    ...families.map((family) => draw(family, { x, y })),
    "</svg>\n"
  ].join("\n")
}

const round = (number: number): number => Math.round(10 * number) / 10

const text = (x: number, y: number, words: string, anchor: Anchor): string =>
  `<text class="faint" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${words}</text>`

const legend = ({ point, shape, title }: Family, i: number): string => {
  const x = plot.left + 220 * i + 140
  return `<path class="${point}" d="${shape}" transform="translate(${x},${plot.top - 40})"/>` +
    text(x + 12, plot.top - 36, title, "start")
}

const draw = ({ label, line: kind, point, points, shape }: Family, { x, y }: Scales): string => {
  const joined = line<Point>().x(({ mean }) => round(x(mean))).y(({ p99 }) => round(y(p99)))(points)
  return [
    `<path class="${kind}" d="${joined ?? ""}"/>`,
    ...points.map(({ mean, name, p99, size }) => {
      const words = `${name}: p99 ${p99.toFixed(1)} ms, ${mean.toFixed(1)} connections on average`
      return `<g tabindex="0" role="img" aria-label="${words}"><title>${words}</title>` +
        `<path class="${point}" d="${shape}" transform="translate(${round(x(mean))},${round(y(p99))})"/>` +
        `${text(x(mean) + label.x, y(p99) + label.y, `${size}`, label.anchor)}</g>`
    })
  ].join("\n")
}
