/** Draws the panels of the dashboard, in their places. */
import { scaleLinear } from "d3-scale"
import { area, line } from "d3-shape"
import type { Series } from "../../test/support/prometheus.js"

export interface Drawn extends Series {
  readonly legend: string
  readonly style: Readonly<Record<string, any>>
}

/** As `examples/observed/grafana.json` has it. */
export interface Panel {
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig?: {
    readonly defaults: { readonly unit: string; readonly custom: { readonly stacking: { readonly mode: string } } }
    readonly overrides: ReadonlyArray<{
      readonly matcher: { readonly options: string }
      readonly properties: ReadonlyArray<{ readonly id: string; readonly value: any }>
    }>
  }
  readonly targets?: ReadonlyArray<{ readonly legendFormat: string; readonly expr: string }>
}

const unit = { width: 50, height: 28 }
const colours = ["#1d4ed8", "#d97706", "#047857", "#b91c1c", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#57534e"]
const faint = "#6b7280"
const rule = "#e5e7eb"

type At = readonly [seconds: number, value: number]

interface Span {
  readonly from: number
  readonly to: number
}

export const svg = (panels: ReadonlyArray<Panel>, dataOf: (panel: Panel) => ReadonlyArray<Drawn>, span: Span) => {
  const height = unit.height * Math.max(...panels.map(({ gridPos: { h, y } }) => y + h))
  const width = unit.width * 24
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">`,
    `<title>The panels of the dashboard</title>`,
    `<rect width="${width}" height="${height}" fill="#f3f4f6"/>`,
    ...panels.map((panel) => panel.type === "row" ? rowTitle(panel) : drawn(panel, dataOf(panel), span)),
    "</svg>",
    ""
  ].join("\n")
}

const rowTitle = ({ gridPos: { y }, title }: Panel): string => text(10, unit.height * y + 20, title, "#111827", 15)

const drawn = ({ fieldConfig, gridPos, title }: Panel, series: ReadonlyArray<Drawn>, { from, to }: Span): string => {
  const left = unit.width * gridPos.x + 4
  const top = unit.height * gridPos.y + 2
  const width = unit.width * gridPos.w - 8
  const height = unit.height * gridPos.h - 4
  const plot = { left: left + 54, right: left + width - 40, top: top + 30, bottom: top + height - 44 }
  const { custom, unit: leftUnit } = fieldConfig!.defaults
  const isOnRight = ({ style }: Drawn) => style["custom.axisPlacement"] === "right"
  const isStacked = ({ style }: Drawn) => custom.stacking.mode === "normal" && !("custom.stacking" in style)

  const floors = stack(series.filter(isStacked))
  const floorOf = (one: Drawn, [at]: At) => floors.get(one)?.get(at) ?? 0
  const highest = (some: ReadonlyArray<Drawn>) =>
    Math.max(...some.flatMap((one) => finite(one).map((point) => point[1] + floorOf(one, point))), 0) || 1
  const scale = (most: number) => scaleLinear([0, most], [plot.bottom, plot.top]).nice(4)
  const x = scaleLinear([0, to - from], [plot.left, plot.right])
  const yLeft = scale(leftUnit === "percentunit" ? 1 : highest(series.filter((one) => !isOnRight(one))))
  const yRight = scale(highest(series.filter(isOnRight)))

  const grid = yLeft.ticks(4).map((n) =>
    `<path d="M${plot.left},${round(yLeft(n))}H${plot.right}" stroke="${rule}"/>` +
    text(plot.left - 6, yLeft(n) + 4, format(n, leftUnit), faint, 11, "end")
  )
  const rightTicks = series.some(isOnRight)
    ? yRight.ticks(4).map((n) => text(plot.right + 6, yRight(n) + 4, format(n, "s"), faint, 11))
    : []
  const times = x.ticks(4).map((at) => text(x(at), plot.bottom + 15, `${at} s`, faint, 11, "middle"))
  const lines = series.map((one, i) => {
    const y = isOnRight(one) ? yRight : yLeft
    const colour = colours[i % colours.length]
    const dash = "custom.lineStyle" in one.style ? ` stroke-dasharray="6 4"` : ""
    const px = ([at]: At) => round(x(at - from))
    const py = (point: At) => round(y(point[1] + floorOf(one, point)))
    const isThere = ([, value]: At) => Number.isFinite(value)
    const along = line<At>(px, py).defined(isThere)(one.values)
    const under = area<At>().x(px).y1(py).y0((point) => round(y(floorOf(one, point)))).defined(isThere)(one.values)
    return (isStacked(one) ? `<path d="${under}" fill="${colour}" fill-opacity="0.5"/>` : "") +
      `<path d="${along}" fill="none" stroke="${colour}" stroke-width="1.5"${dash}/>`
  })
  let next = plot.left
  const legend = series.map(({ legend }, i) => {
    const here = next
    next += 26 + 6.4 * legend.length
    return `<rect x="${round(here)}" y="${top + height - 18}" width="10" height="4" fill="${
      colours[i % colours.length]
    }"/>` +
      text(here + 14, top + height - 12, legend, faint, 11)
  })
  return [
    `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="white" stroke="${rule}"/>`,
    text(left + 10, top + 19, title, "#111827", 13),
    ...grid,
    ...rightTicks,
    ...times,
    ...lines,
    ...legend
  ].join("\n")
}

const finite = ({ values }: Series): ReadonlyArray<At> => values.filter(([, value]) => Number.isFinite(value))

/** Where each of them begins at each time: on top of those before it. */
const stack = (series: ReadonlyArray<Drawn>): ReadonlyMap<Drawn, ReadonlyMap<number, number>> => {
  const reached = new Map<number, number>()
  return new Map(series.map((one) => {
    const floor = new Map(one.values.map(([at]) => [at, reached.get(at) ?? 0]))
    for (const [at, value] of finite(one)) reached.set(at, (reached.get(at) ?? 0) + value)
    return [one, floor]
  }))
}

const format = (n: number, unit: string): string =>
  unit === "percentunit"
    ? `${Math.round(n * 100)} %`
    : unit === "s" && n !== 0
    ? (n < 1 ? `${+(n * 1000).toPrecision(3)} ms` : `${n} s`)
    : `${n}`

const round = (n: number): number => Math.round(n * 10) / 10

const text = (x: number, y: number, content: string, colour: string, size: number, anchor = "start"): string =>
  `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" fill="${colour}" font-size="${size}">` +
  `${content.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</text>`
