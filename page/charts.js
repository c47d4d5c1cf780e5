// The charts: what each shows, and how it is drawn. Beside each is a table of the same numbers.
import { axisTime, clock, count, rate, time } from "./format.js"
import uPlot from "./uplot.js"

/** In seconds: how much is kept, and how much is shown at least. */
const longest = 300
const shortest = 60

/**
 * One line of a chart, and one row of its table.
 *
 * @typedef {object} Line
 * @property {string} name
 * @property {(sample: Sample) => number | null} value
 * @property {string} ink the name of a colour in style.css
 * @property {string=} fill
 * @property {ReadonlyArray<number>=} dash
 * @property {number=} width
 * @property {true=} isStacked it stands on the one before
 * @property {true=} isRare it is not drawn along the ground
 */

/**
 * @typedef {object} Chart
 * @property {string} id
 * @property {string} title
 * @property {string} note
 * @property {(value: number) => string} format
 * @property {(value: number) => string} axis
 * @property {number} least the least number at the top of the axis
 * @property {boolean} isStepped
 * @property {ReadonlyArray<Line>} lines
 */

/**
 * What the server has told at one moment, with what has changed each second since the one before.
 *
 * @typedef {{ at: number, stats: any, perSecond: Record<string, number | null> }} Sample
 */

/** @param {(stats: any) => number} of */
const stat = (of) => (/** @type {Sample} */ { stats }) => of(stats)

/** @param {string} counter */
const speed = (counter) => (/** @type {Sample} */ { perSecond }) => perSecond[counter] ?? null

/** @param {string} times @returns {ReadonlyArray<Line>} */
const percentiles = (times) => [
  { name: "p50", value: stat((stats) => stats[times].p50), ink: "--line-2", dash: [2, 3] },
  { name: "p95", value: stat((stats) => stats[times].p95), ink: "--line-2" },
  { name: "p99", value: stat((stats) => stats[times].p99), ink: "--accent", width: 2 }
]

/** @type {ReadonlyArray<Chart>} */
const charts = [
  {
    id: "connections",
    title: "Connections and demand",
    note: "Demand is what is in use and what waits.",
    format: count,
    axis: count,
    least: 1,
    isStepped: true,
    lines: [
      { name: "in use", value: stat(({ busy }) => busy), ink: "--accent", fill: "--busy", isStacked: true },
      { name: "idle", value: stat(({ idle }) => idle), ink: "--idle-edge", fill: "--idle", isStacked: true },
      { name: "opening", value: stat(({ opening }) => opening), ink: "--grey-edge", fill: "--grey-3", isStacked: true },
      {
        name: "checking",
        value: stat(({ checking }) => checking),
        ink: "--grey-edge",
        fill: "--grey-2",
        isStacked: true
      },
      { name: "closing", value: stat(({ closing }) => closing), ink: "--grey-edge", fill: "--grey-1", isStacked: true },
      { name: "demand", value: stat(({ busy, waiting }) => busy + waiting), ink: "--ink", width: 2 },
      { name: "maxsize", value: stat(({ maxsize }) => maxsize), ink: "--muted", dash: [6, 4] },
      { name: "maxoverflow", value: stat(({ maxoverflow }) => maxoverflow), ink: "--muted", dash: [2, 3] }
    ]
  },
  {
    id: "waiting",
    title: "Callers that wait",
    note: "Refused: they got no connection.",
    format: (value) => Number.isInteger(value) ? count(value) : value.toFixed(1),
    axis: count,
    least: 4,
    isStepped: true,
    lines: [
      { name: "waiting", value: stat(({ waiting }) => waiting), ink: "--accent", fill: "--idle", width: 2 },
      { name: "refused each second", value: speed("refused"), ink: "--trouble", width: 2, isRare: true }
    ]
  },
  {
    id: "wait-times",
    title: "How long callers wait",
    note: "Those served in the last minute.",
    format: time,
    axis: axisTime,
    least: 10,
    isStepped: false,
    lines: [
      ...percentiles("waitTimes"),
      { name: "oldest that waits now", value: stat(({ oldestWait }) => oldestWait), ink: "--ink", isRare: true }
    ]
  },
  {
    id: "hold-times",
    title: "How long connections are held",
    note: "Those given back in the last minute.",
    format: time,
    axis: axisTime,
    least: 10,
    isStepped: false,
    lines: percentiles("holdTimes")
  },
  {
    id: "connects",
    title: "Connects each second",
    note: "Connections that were opened, closed, or not to be had.",
    format: rate,
    axis: (value) => `${+value.toFixed(1)}`,
    least: 4,
    isStepped: true,
    lines: [
      { name: "opened", value: speed("opened"), ink: "--accent", fill: "--idle", width: 2 },
      { name: "closed", value: speed("closed"), ink: "--line-2", dash: [2, 3] },
      { name: "failed", value: speed("connectFailures"), ink: "--trouble", width: 2, isRare: true }
    ]
  }
]

/** The colour of that name in style.css, as it is now: light or dark. @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

const font = "11px system-ui, sans-serif"

/** Puts the charts into an element, and gives what draws them anew. @param {HTMLElement} parent */
export const makeCharts = (parent) => {
  /** The last sample of a gap is `null`. @type {Array<Sample | null>} */
  let samples = []
  /** @type {Array<number>} */
  let seconds = []
  const drawn = charts.map((chart) => makeChart(parent, chart, () => samples))
  const draw = () => drawn.forEach((chart) => chart.draw(samples, seconds))
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw)

  const add = (/** @type {Sample | null} */ sample, /** @type {number} */ second) => {
    samples.push(sample)
    seconds.push(second)
    const first = seconds.findIndex((at) => at >= second - longest)
    samples = samples.slice(first)
    seconds = seconds.slice(first)
  }
  return {
    /** @param {Sample} sample */
    add: (sample) => {
      add(sample, sample.at / 1000)
      draw()
    },
    /** Nothing is known from now on: no line is drawn to the next sample. */
    gap: () => {
      if (samples.length > 0 && samples.at(-1) !== null) add(null, /** @type {number} */ (seconds.at(-1)) + 0.5)
    },
    clear: () => {
      samples = []
      seconds = []
    }
  }
}

/** @param {HTMLElement} parent @param {Chart} chart @param {() => ReadonlyArray<Sample | null>} samples */
const makeChart = (parent, chart, samples) => {
  const figure = document.createElement("figure")
  figure.className = "panel"
  figure.id = chart.id
  figure.setAttribute("aria-labelledby", `${chart.id}-title`)
  figure.innerHTML = `<figcaption><h2></h2><p class="note"></p></figcaption>
    <div class="plot" aria-hidden="true"></div>
    <table><thead><tr><td></td><th scope="col" class="number">now</th><th scope="col" class="number">highest</th></tr></thead>
    <tbody></tbody></table>`
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (figure.querySelector(selector))
  find("h2").id = `${chart.id}-title`
  find("h2").textContent = chart.title
  find(".note").textContent = chart.note
  const rows = chart.lines.map((line) => makeRow(find("tbody"), line))
  parent.append(figure)

  const plot = find(".plot")
  const show = (/** @type {number | null | undefined} */ index) => {
    const all = samples()
    const sample = all[index ?? all.length - 1]
    find("th").textContent = index == null || sample == null ? "now" : clock(sample.at)
    chart.lines.forEach(({ value }, i) => {
      const known = all.filter((sample) => sample !== null).map((sample) => value(sample)).filter((v) => v !== null)
      const at = sample == null ? null : value(sample)
      rows[i].now.textContent = at === null ? "–" : chart.format(at)
      rows[i].highest.textContent = known.length === 0 ? "–" : chart.format(Math.max(...known))
    })
  }
  const u = new uPlot(optionsOf(chart, plot, show), [[], ...chart.lines.map(() => [])], plot)
  new ResizeObserver(() => u.setSize(sizeOf(plot))).observe(plot)
  return {
    /** @param {ReadonlyArray<Sample | null>} samples @param {ReadonlyArray<number>} seconds */
    draw: (samples, seconds) => {
      const now = seconds.at(-1) ?? Date.now() / 1000
      u.setData(/** @type {any} */ ([seconds, ...columns(chart.lines, samples)]), false)
      u.setScale("x", { min: Math.max(now - longest, Math.min(seconds[0] ?? now, now - shortest)), max: now })
      show(u.cursor.idx)
    }
  }
}

/** @param {HTMLElement} body @param {Line} line */
const makeRow = (body, { dash, fill, ink, name }) => {
  const row = document.createElement("tr")
  row.innerHTML = `<th scope="row"><svg class="key" viewBox="0 0 18 10" aria-hidden="true"></svg><span></span></th>
    <td class="number"></td><td class="number"></td>`
  const key = /** @type {SVGElement} */ (row.querySelector("svg"))
  key.innerHTML = fill === undefined ? "<path d='M0 5h18'/>" : "<path d='M0 1h18v9H0z'/><path d='M0 1h18'/>"
  const [area, edge = area] = key.querySelectorAll("path")
  if (edge !== area) area.style.fill = `var(${fill})`
  edge.style.stroke = `var(${ink})`
  if (dash !== undefined) edge.style.strokeDasharray = dash.join(" ")
  const label = /** @type {HTMLElement} */ (row.querySelector("span"))
  label.textContent = name
  body.append(row)
  const [now, highest] = row.querySelectorAll("td")
  return { now, highest }
}

/** What is drawn of each line. @param {ReadonlyArray<Line>} lines @param {ReadonlyArray<Sample | null>} samples */
const columns = (lines, samples) => {
  const sums = samples.map(() => 0)
  return lines.map(({ isRare, isStacked, value }) => {
    const values = samples.map((sample) => sample === null ? null : value(sample))
    if (isStacked) return values.map((at, i) => at === null ? null : sums[i] += at)
    const isGround = (/** @type {number} */ i) => !values[i - 1] && !values[i] && !values[i + 1]
    return isRare ? values.map((at, i) => isGround(i) ? null : at) : values
  })
}

/** @param {HTMLElement} plot */
const sizeOf = (plot) => ({ width: plot.clientWidth, height: plot.clientHeight })

/** @param {Chart} chart @param {HTMLElement} plot @param {(index: number | null | undefined) => void} show */
const optionsOf = (chart, plot, show) => {
  const axis = { stroke: () => colour("--muted"), font, ticks: { show: false } }
  const grid = { stroke: () => colour("--grid"), width: 1 }
  const paths = chart.isStepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined
  const stacked = chart.lines.filter(({ isStacked }) => isStacked).length
  return /** @type {uPlot.Options} */ ({
    ...sizeOf(plot),
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { show: false }, sync: { key: "pool" } },
    scales: {
      y: { range: (_, __, max) => [0, Math.max(chart.least, (max ?? 0) * 1.08)] }
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 22,
        space: 70,
        values: (_, ticks) => ticks.map((at) => clock(at * 1000))
      },
      { ...axis, grid, size: 48, space: 32, values: (_, ticks) => ticks.map(chart.axis) }
    ],
    series: [
      {},
      ...chart.lines.map(({ dash, fill, ink, width = 1.25 }) => ({
        stroke: () => colour(ink),
        ...(fill === undefined ? {} : { fill: () => colour(fill) }),
        width,
        points: { show: false },
        ...(dash === undefined ? {} : { dash: [...dash] }),
        ...(paths === undefined ? {} : { paths })
      }))
    ],
    // Each stands on the one before it.
    bands: Array.from({ length: Math.max(0, stacked - 1) }, (_, i) => ({ series: [i + 2, i + 1] })),
    hooks: { setCursor: [(u) => show(u.cursor.idx)] }
  })
}
