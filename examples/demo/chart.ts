/** Draws demand against open connections over time. */
import { scaleLinear } from "d3-scale"
import { area, curveStepAfter, line } from "d3-shape"
import type { Point, Record } from "./timeline.js"

const width = 1200
const plot = { left: 70, right: 1020, top: 140, bottom: 500 }
const stepsTop = 560
const colours = {
  demand: "#d97706",
  open: "#1d4ed8",
  limit: "#b91c1c",
  text: "#1f2937",
  faint: "#6b7280",
  rule: "#e5e7eb"
}

export interface Limits {
  readonly maxsize: number
  readonly maxoverflow: number
}

export const svg = ({ demand, end, open, steps }: Record, limits: Limits): string => {
  const most = Math.max(limits.maxoverflow, ...demand.map(({ value }) => value), ...open.map(({ value }) => value))
  const x = scaleLinear([0, end / 1000], [plot.left, plot.right])
  const y = scaleLinear([0, most], [plot.bottom, plot.top]).nice()
  const untilEnd = (points: ReadonlyArray<Point>) => [...points, { at: end, value: points.at(-1)?.value ?? 0 }]
  const px = ({ at }: Point) => x(at / 1000)
  const py = ({ value }: Point) => y(value)
  const under = area<Point>().x(px).y0(y(0)).y1(py).curve(curveStepAfter)
  const along = line<Point>().x(px).y(py).curve(curveStepAfter)

  const grid = [
    ...y.ticks(8).map((n) =>
      `<path d="M${plot.left},${y(n)}H${plot.right}" stroke="${colours.rule}"/>` +
      text(plot.left - 10, y(n) + 5, String(n), { anchor: "end", colour: colours.faint })
    ),
    ...x.ticks(12).map((n) =>
      `<path d="M${x(n)},${plot.bottom}v6" stroke="${colours.faint}"/>` +
      text(x(n), plot.bottom + 24, `${n} s`, { anchor: "middle", colour: colours.faint })
    )
  ]

  const limitLines = ([["maxoverflow", limits.maxoverflow], ["maxsize", limits.maxsize]] as const).map(([name, n]) =>
    `<path d="M${plot.left},${y(n)}H${plot.right}" stroke="${colours.limit}" stroke-dasharray="7 5"/>` +
    text(plot.right + 10, y(n) + 5, `${name} ${n}`, { colour: colours.limit })
  )

  // Short steps stand close together: their numbers go to several rows.
  let lastAt: ReadonlyArray<number> = []
  const marks = steps.map(({ at }, i) => {
    const left = x(at / 1000)
    const free = [0, 1, 2].find((row) => left - (lastAt[row] ?? -Infinity) >= 24) ?? 0
    lastAt = [0, 1, 2].map((row) => row === free ? left : lastAt[row] ?? -Infinity)
    const top = plot.top - 16 - 24 * free
    return `<path d="M${left},${top}V${plot.bottom}" stroke="${colours.faint}" stroke-dasharray="2 3"/>` +
      `<circle cx="${left}" cy="${top}" r="11" fill="${colours.text}"/>` +
      text(left, top + 5, String(i + 1), { anchor: "middle", colour: "white", size: 13 })
  })

  const half = Math.ceil(steps.length / 2)
  const titles = steps.map(({ title }, i) =>
    text(plot.left + (i < half ? 0 : 560), stepsTop + 28 + 26 * (i % half), `${i + 1}. ${title}`, { size: 14 })
  )
  const height = stepsTop + 28 + 26 * half

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">`,
    `<title>Demand and open connections</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text(plot.left, 32, "effect-pgpool: demand and open connections", { size: 20, weight: "bold" }),
    ...grid,
    `<path d="${under(untilEnd(demand))}" fill="${colours.demand}" fill-opacity="0.25"/>`,
    `<path d="${along(untilEnd(demand))}" fill="none" stroke="${colours.demand}" stroke-width="1.5"/>`,
    ...limitLines,
    `<path d="${along(untilEnd(open))}" fill="none" stroke="${colours.open}" stroke-width="2.5"/>`,
    `<path d="M${plot.left},${plot.bottom}H${plot.right}" stroke="${colours.faint}"/>`,
    ...marks,
    key(plot.left, colours.demand, "callers who want or hold a connection"),
    key(plot.left + 320, colours.open, "open connections"),
    text(plot.left, stepsTop, "Steps", { size: 15, weight: "bold" }),
    ...titles,
    "</svg>",
    ""
  ].join("\n")
}

const key = (left: number, colour: string, label: string): string =>
  `<rect x="${left}" y="52" width="22" height="12" fill="${colour}"/>${text(left + 30, 63, label, { size: 14 })}`

const text = (
  x: number,
  y: number,
  content: string,
  { anchor = "start", colour = colours.text, size = 14, weight = "normal" }: {
    readonly anchor?: "start" | "middle" | "end"
    readonly colour?: string
    readonly size?: number
    readonly weight?: "normal" | "bold"
  } = {}
): string =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${colour}" font-size="${size}" font-weight="${weight}">` +
  `${escape(content)}</text>`

const escape = (content: string): string =>
  content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
