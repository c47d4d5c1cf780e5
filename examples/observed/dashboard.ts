// The dashboard of a pool for Grafana 10 or newer. `npx tsx examples/observed/dashboard.ts` writes grafana.json, which is
// what Grafana imports.
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

// --- Queries ---

/**
 * Of the chosen pools. A name is a pattern, because the way that a metric takes adds to its name: a collector adds its
 * unit, and not all ways add `_total` to a counter.
 */
const metric = (name: string, ...matchers: ReadonlyArray<string>) =>
  `{${
    [
      name.includes("?") ? `__name__=~"${name}"` : `__name__="${name}"`,
      `db_client_connection_pool_name=~"$pool"`,
      `instance=~"$instance"`,
      ...matchers
    ].join(", ")
  }}`

const counter = (name: string, ...matchers: ReadonlyArray<string>) => metric(`${name}(_total)?`, ...matchers)

const perSecond = (series: string, by = "") => `sum${by}(rate(${series}[$__rate_interval]))`

const quantiles = (histogram: string): ReadonlyArray<Query> =>
  [50, 95, 99].map((percent) => ({
    legend: `p${percent}`,
    expr: `histogram_quantile(${percent / 100}, ${perSecond(metric(`${histogram}(_seconds)?_bucket`), " by (le) ")})`
  }))

const connections = (...matchers: ReadonlyArray<string>) => metric("db_client_connection_count", ...matchers)
const waiting = `sum(${metric("db_client_connection_pending_requests")})`
const connection = "db_client_connection"
const own = "effect_pgpool_connection"

// --- Panels ---

interface Query {
  readonly legend: string
  readonly expr: string
  /** How this line differs from the others: an override of Grafana. */
  readonly style?: Readonly<Record<string, unknown>>
}

interface Panel {
  readonly title: string
  /** What it tells, and what to do. */
  readonly description: string
  readonly unit: "short" | "s" | "percentunit"
  readonly width?: number
  readonly stacked?: boolean
  readonly queries: ReadonlyArray<Query>
}

interface Row {
  readonly question: string
  readonly panels: ReadonlyArray<Panel>
}

const line = { "custom.stacking": { mode: "none" }, "custom.fillOpacity": 0, "custom.lineWidth": 2 }
const limit = { ...line, "custom.lineStyle": { fill: "dash", dash: [10, 10] } }
const onTheRight = { unit: "s", "custom.axisPlacement": "right" }

const rows: ReadonlyArray<Row> = [
  {
    question: "Is the pool too small or too big?",
    panels: [{
      title: "Connections",
      description:
        "Demand is the callers that have a connection and those that wait for one. Above maxsize for most of the time: raise maxsize. At maxoverflow, and callers wait: hold connections for a shorter time, or raise maxoverflow. Far below maxsize: the pool is larger than the load, which costs nothing.",
      unit: "short",
      width: 24,
      stacked: true,
      queries: [
        { legend: "{{db_client_connection_state}}", expr: `sum by (db_client_connection_state) (${connections()})` },
        {
          legend: "demand",
          expr: `sum(${connections(`db_client_connection_state="used"`)}) + ${waiting}`,
          style: line
        },
        { legend: "maxsize", expr: `sum(${metric(`${connection}_idle_max`)})`, style: limit },
        { legend: "maxoverflow", expr: `sum(${metric(`${connection}_max`)})`, style: limit }
      ]
    }]
  },
  {
    question: "Why do requests wait?",
    panels: [
      {
        title: "Callers that wait",
        description: "How many there are now, and for how long the oldest of them has waited.",
        unit: "short",
        queries: [
          { legend: "waiting", expr: waiting },
          { legend: "the oldest", expr: `max(${metric(`${own}_oldest_wait(_seconds)?`)})`, style: onTheRight }
        ]
      },
      {
        title: "Wait for a connection",
        description: "Of the callers that got one. Most wait for no time where the pool is large enough.",
        unit: "s",
        queries: quantiles(`${connection}_wait_time`)
      },
      {
        title: "Event loop",
        description:
          "The part of the time in which the event loop was busy. Near 100 %: the program itself is slow, so a larger pool does not help.",
        unit: "percentunit",
        queries: [{
          legend: "{{instance}}",
          expr: `max by (instance) ({__name__=~"nodejs_eventloop_utilization(_ratio)?", instance=~"$instance"})`
        }]
      }
    ]
  },
  {
    question: "Who holds the connections?",
    panels: [
      {
        title: "Hold of a connection",
        description:
          "For how long callers keep a connection. Far above the time of statements: something slow happens inside transactions. The pool's page and pool.holders say where.",
        unit: "s",
        queries: quantiles(`${connection}_use_time`)
      },
      {
        title: "Statements",
        description:
          "How long statements take, with the wait for a connection. Long, and the wait is short: the server is slow.",
        unit: "s",
        queries: quantiles("db_client_operation_duration")
      },
      {
        title: "Held for longer than leakThreshold",
        description: "The log names the span that took each of these connections, and where it is now.",
        unit: "short",
        queries: [{
          legend: "{{instance}}",
          expr: `sum by (instance) (increase(${counter(`${own}_leaked`)}[$__rate_interval]))`
        }]
      }
    ]
  },
  {
    question: "What happened when it broke?",
    panels: [
      {
        title: "Callers that got no connection, per second",
        description:
          "By reason. acquireTimeout: the pool was full. outageTimeout, connectRetry, failed: connects failed. queueFull: as many waited as maxWaiting allows.",
        unit: "short",
        width: 12,
        queries: [{
          legend: "{{effect_pgpool_outcome}}",
          expr: perSecond(
            counter(`${own}_requests`, `effect_pgpool_outcome!~"served|interrupted"`),
            " by (effect_pgpool_outcome) "
          )
        }]
      },
      {
        title: "Connections closed, per second",
        description:
          "By reason. expired: a longer expires. surplus: a higher maxsize. dirty or invalidated: find out what breaks them.",
        unit: "short",
        width: 12,
        stacked: true,
        queries: [{
          legend: "{{effect_pgpool_reason}}",
          expr: perSecond(counter(`${own}_closed`), " by (effect_pgpool_reason) ")
        }]
      },
      {
        title: "Connects, per second",
        description: "Connects beyond maxsize are for callers that had waited for maxwait.",
        unit: "short",
        width: 12,
        queries: [
          { legend: "opened", expr: perSecond(metric(`${connection}_create_time(_seconds)?_count`)) },
          { legend: "begun beyond maxsize", expr: perSecond(counter(`${own}_overflow`)) },
          { legend: "failed", expr: perSecond(counter(`${own}_connect_failures`)) }
        ]
      },
      {
        title: "Time of connects",
        description: "Of those that succeeded: the way to the server, TLS, the log-in and onConnect.",
        unit: "s",
        width: 12,
        queries: quantiles(`${connection}_create_time`)
      }
    ]
  }
]

// --- In the words of Grafana ---

const datasource = { type: "prometheus", uid: "${datasource}" }
const height = 8
const columns = 24

const override = ({ legend, style = {} }: Query) => ({
  matcher: { id: "byName", options: legend },
  properties: Object.entries(style).map(([id, value]) => ({ id, value }))
})

const panelOf = ({ description, queries, stacked = false, title, unit }: Panel) => ({
  type: "timeseries",
  title,
  description,
  datasource,
  fieldConfig: {
    defaults: {
      unit,
      min: 0,
      ...unit === "percentunit" ? { max: 1 } : {},
      custom: {
        fillOpacity: stacked ? 50 : 0,
        showPoints: "never",
        stacking: { mode: stacked ? "normal" : "none" }
      }
    },
    overrides: queries.filter(({ style }) => style !== undefined).map(override)
  },
  options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
  targets: queries.map(({ expr, legend }, n) => ({
    refId: String.fromCharCode("A".charCodeAt(0) + n),
    datasource,
    expr,
    legendFormat: legend
  }))
})

/** All panels with their places: below the title of a row are its panels, from left to right. */
const layOut = () => {
  let y = 0
  let id = 1
  const placed: Array<object> = []
  for (const { panels, question } of rows) {
    placed.push({ type: "row", id: id++, title: question, collapsed: false, gridPos: { x: 0, y, w: columns, h: 1 } })
    y++
    let x = 0
    for (const panel of panels) {
      const w = panel.width ?? columns / 3
      placed.push({ id: id++, ...panelOf(panel), gridPos: { x, y, w, h: height } })
      x += w
      if (x < columns) continue
      x = 0
      y += height
    }
  }
  return placed
}

const choice = (name: string, label: string, query: string) => ({
  type: "query",
  name,
  label,
  datasource,
  definition: query,
  query: { query, refId: name },
  // Read anew when the time range changes.
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: ".*",
  current: { selected: true, text: ["All"], value: ["$__all"] }
})

const metricOfAllPools = `${connection}_max`

export const dashboard = {
  uid: "effect-pgpool",
  title: "effect-pgpool",
  description: "What a pool of connections does. The page docs/prometheus.md of effect-pgpool says how to read it.",
  tags: ["postgresql", "effect-pgpool"],
  schemaVersion: 38,
  editable: true,
  graphTooltip: 1,
  refresh: "10s",
  time: { from: "now-1h", to: "now" },
  templating: {
    list: [
      { type: "datasource", name: "datasource", label: "Data source", query: "prometheus" },
      choice("pool", "Pool", `label_values(${metricOfAllPools}, ${connection}_pool_name)`),
      choice("instance", "Process", `label_values(${metricOfAllPools}{${connection}_pool_name=~"$pool"}, instance)`)
    ]
  },
  panels: layOut()
}

export const dashboardFile = fileURLToPath(new URL("grafana.json", import.meta.url))

export const written = `${JSON.stringify(dashboard, undefined, 2)}\n`

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(dashboardFile, written)
