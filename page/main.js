// The page: it follows one pool, and shows what it is told.
import { makeCharts } from "./charts.js"
import { makeFigures, sum } from "./figures.js"
import { clock } from "./format.js"
import { follow, hasToken, keepToken } from "./live.js"
import { makeEvents, makeHolders, serverNote, showSettings } from "./tables.js"

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id)

const charts = makeCharts(byId("charts"))
const figures = makeFigures(byId("figures"))
const holders = makeHolders(byId("holders"))
const events = makeEvents(byId("events"), byId("trouble"))

/** The sample before, for what has changed since. @type {any} */
let last
/** What the address says behind its `#`: anybody may have typed it. */
const nameInAddress = () => {
  try {
    return decodeURIComponent(location.hash.slice(1))
  } catch {
    return ""
  }
}

/** The pool that is shown, by its name: it stays chosen when the server begins anew. */
let chosen = nameInAddress()
let hasEnded = false
let controller = new AbortController()

/** @param {string} text @param {"live" | "lost" | ""} kind */
const say = (text, kind) => {
  const status = byId("status")
  if (status.textContent !== text) status.textContent = text
  status.className = kind
  document.body.classList.toggle("lost", kind === "lost")
}

/** @param {any} stats @returns {Record<string, number>} */
const counters = ({ acquired, closed, connectFailures, opened, refused }) => ({
  acquired,
  opened,
  connectFailures,
  closed: sum(closed),
  refused: sum(refused)
})

/** What the counters have risen by each second. A server that has begun anew counts from the beginning. @param {any} shot */
const sampleOf = (shot) => {
  const now = counters(shot.stats)
  const before = last === undefined ? undefined : counters(last.stats)
  const seconds = last === undefined ? 1 : (shot.at - last.at) / 1000
  const perSecond = Object.fromEntries(
    Object.entries(now).map(([name, count]) => {
      const by = before === undefined ? null : (count - before[name]) / seconds
      return [name, by !== null && by >= 0 && Number.isFinite(by) ? by : null]
    })
  )
  return { at: shot.at, stats: shot.stats, perSecond }
}

/** A pool of anything else than connections knows only its state. @param {any} shot */
const healthOf = ({ health, stats: { state } }) => {
  if (health === null || state !== "open") return state
  if (health._tag !== "Unreachable") return health._tag.toLowerCase()
  return `server unreachable since ${clock(health.since)}: ${health.cause}`
}

/** @param {any} shot */
const show = (shot) => {
  const sample = sampleOf(shot)
  last = shot
  byId("pool").hidden = false
  byId("name").textContent = shot.stats.name || "Connection pool"
  document.title = `${shot.stats.name || "Connection pool"}: ${shot.stats.busy} in use, ${shot.stats.waiting} waiting`
  const state = byId("state")
  state.hidden = false
  state.textContent = shot.hasEnded ? "closed" : healthOf(shot)
  state.className = shot.hasEnded || !["up", "open"].includes(healthOf(shot)) ? "badge trouble" : "badge"
  figures(sample)
  charts.add(sample)
  holders(shot)
  byId("summary").textContent = shot.summary === "" ? "Nobody." : shot.summary
  byId("server").textContent = serverNote(shot.server)
  events.add(shot.events)
  hasEnded = shot.hasEnded
  if (hasEnded) say(`This pool was closed at ${clock(shot.at)}`, "lost")
  else say("Live", "live")
}

/** @param {ReadonlyArray<{ name: string, state: string }>} pools */
const choose = (pools) => {
  const select = byId("pools")
  byId("choice").hidden = pools.length < 2
  // A list that is open must not be made anew under somebody's hands.
  const names = pools.map(({ name }, i) => name || `pool ${i + 1}`)
  if (names.join("\n") !== [...select.options].map(({ text }) => text).join("\n")) {
    select.replaceChildren(...names.map((name) => new Option(name)))
  }
  const index = Math.max(0, names.indexOf(chosen))
  select.selectedIndex = index
  return index
}

const start = () => {
  controller.abort()
  controller = new AbortController()
  byId("login").hidden = true
  void follow({
    choose,
    heard: (event, data) => {
      if (event === "hello") showSettings(byId("settings"), data.settings)
      else if (event === "snapshot") show(data)
    },
    lost: (seconds, why) => {
      charts.gap()
      if (!hasEnded) say(`${why}. Next try in ${seconds} s`, "lost")
    },
    refused: () => {
      byId("pool").hidden = true
      byId("login").hidden = false
      byId("refusal").textContent = hasToken() ? "That is not the token of this page." : ""
      byId("token").value = ""
      byId("token").focus()
      say("Not logged in", "")
    }
  }, controller.signal)
}

byId("login").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault()
  keepToken(byId("token").value)
  start()
})

byId("pools").addEventListener("change", () => {
  chosen = byId("pools").value
  location.hash = encodeURIComponent(chosen)
  last = undefined
  charts.clear()
  events.clear()
  say("Connecting …", "")
  start()
})

start()

/** In seconds: a page that nobody sees costs the server nothing, nor one of the few connections of a browser. */
const hiddenFor = 30

/** @type {ReturnType<typeof setTimeout> | undefined} */
let pause
let isPaused = false

const look = () => {
  clearTimeout(pause)
  if (document.visibilityState === "hidden") {
    pause = setTimeout(() => {
      // Somebody may be fetching the token.
      if (!byId("login").hidden) return
      isPaused = true
      controller.abort()
      charts.gap()
      say("Paused while nobody sees this page", "")
    }, hiddenFor * 1000)
  } else if (isPaused) {
    isPaused = false
    start()
  }
}

document.addEventListener("visibilitychange", look)
look()
