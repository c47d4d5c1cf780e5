// Who holds the connections, what has happened, and how the pool is set.
import { clock, time } from "./format.js"

/** How many events stay on the page. */
const mostEvents = 300

/** @typedef {{ name: string, location: string | null }} Frame */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} text
 * @param {string=} className
 */
const element = (tag, text, className = "") => {
  const made = document.createElement(tag)
  made.textContent = text
  if (className !== "") made.className = className
  return made
}

/** @param {string} location with the folder */
const fileOf = (location) => location.split(/[\\/]/).at(-1) ?? location

/** @param {ReadonlyArray<Frame>} frames */
const chain = (frames) =>
  frames.map(({ location, name }) => location === null ? name : `${name} (${location})`).join(" < ")

/** The span, where it was begun, and the spans around it. @param {ReadonlyArray<Frame>} frames */
const span = (frames) => {
  const cell = document.createElement("td")
  const [own, ...around] = frames
  if (own === undefined) {
    cell.append(element("span", "no span", "dim"))
    return cell
  }
  cell.title = chain(frames)
  cell.append(element("span", own.name, "span"))
  if (own.location !== null) cell.append(" ", element("span", fileOf(own.location), "dim"))
  if (around.length > 0) cell.append(element("div", around.map(({ name }) => `< ${name}`).join(" "), "dim cut"))
  return cell
}

/** @param {any} holder */
const statement = ({ isRunning }) => isRunning === null ? "unknown" : isRunning ? "running" : "none"

/** @param {any} holder @param {string} known */
const serverSays = ({ backend }, known) => {
  if (backend === "elsewhere") return "on another host"
  if (backend === null) return known === "Known" ? "–" : ""
  const since = backend.since === null ? "" : ` for ${time(Math.max(0, backend.since))}`
  return `${backend.state ?? "unknown"}${since}${backend.waitsFor === null ? "" : `, waits for ${backend.waitsFor}`}`
}

/** @param {any} holder @param {ReadonlyArray<any>} all */
const blockedBy = ({ backend }, all) => {
  if (backend === null || backend === "elsewhere") return ""
  return backend.blockedBy.map((/** @type {any} */ { name, processId, state }) => {
    if (processId === 0) return "a prepared transaction"
    const own = all.find((other) => other.processId === processId)
    const who = own === undefined ? name || "a session" : own.takenIn[0]?.name ?? "no span"
    return `${processId} ${who}${state === null ? "" : ` (${state})`}`
  }).join(", ")
}

/** The cells have their headings with them: on a phone each row is a card. @param {HTMLElement} section */
export const makeHolders = (section) => {
  const body = /** @type {HTMLElement} */ (section.querySelector("tbody"))
  const headings = [...section.querySelectorAll("th")].map(({ textContent }) => textContent ?? "")
  return (/** @type {any} */ { holders, server, moreHolders }) => {
    const rows = holders.map((/** @type {any} */ holder) => {
      const row = document.createElement("tr")
      const blockers = blockedBy(holder, holders)
      const hasMoved = chain(holder.takenIn) !== chain(holder.nowIn)
      row.append(
        element("td", time(holder.heldFor), "number strong"),
        span(holder.takenIn),
        hasMoved ? span(holder.nowIn) : element("td", "the same", "dim"),
        element("td", statement(holder), holder.isRunning ? "" : "dim"),
        element("td", serverSays(holder, server._tag)),
        element("td", blockers, blockers === "" ? "" : "trouble"),
        element("td", holder.processId === null ? "" : `${holder.processId}`, "number"),
        element("td", holder.fiber, "number dim")
      )
      ;[...row.children].forEach((cell, i) => cell.setAttribute("data-heading", headings[i]))
      return row
    })
    if (moreHolders > 0) rows.push(whole(`and ${moreHolders} more`))
    if (rows.length === 0) rows.push(whole("No connection is in use."))
    body.replaceChildren(...rows)
  }
}

/** @param {string} text */
const whole = (text) => {
  const row = document.createElement("tr")
  const cell = element("td", text, "dim")
  cell.colSpan = 8
  row.append(cell)
  return row
}

/** What is to be said of the server's part of the table. @param {any} server */
export const serverNote = ({ _tag, why }) => {
  switch (_tag) {
    case "None":
      return "The server's side is not known for this pool."
    case "Asking":
      return "The server is being asked …"
    case "Unknown":
      return `The server can't be asked what it does: ${why}. It is asked again soon.`
    default:
      return "The server is asked every two seconds, by a connection beside the pool."
  }
}

/** The newest is the first. @param {HTMLElement} section @param {HTMLInputElement} onlyTrouble */
export const makeEvents = (section, onlyTrouble) => {
  const list = /** @type {HTMLElement} */ (section.querySelector("ol"))
  const empty = /** @type {HTMLElement} */ (section.querySelector("p"))
  onlyTrouble.addEventListener("change", () => list.classList.toggle("only-trouble", onlyTrouble.checked))
  return {
    /** @param {ReadonlyArray<any>} events */
    add: (events) => {
      for (const { at, kind, text, trouble } of events) {
        const item = element("li", "", trouble ? "trouble" : "")
        item.append(element("time", clock(at), "dim"), " ", element("b", words(kind)), " ", element("span", text))
        list.prepend(item)
      }
      while (list.children.length > mostEvents) list.lastElementChild?.remove()
      empty.hidden = list.children.length > 0
    },
    clear: () => {
      list.replaceChildren()
      empty.hidden = false
    }
  }
}

/** `ConnectFailed`: connect failed. @param {string} kind */
const words = (kind) => kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).trim()

/** @param {HTMLElement} section @param {ReadonlyArray<readonly [string, string]>} settings */
export const showSettings = (section, settings) => {
  const rows = settings.map(([option, value]) => {
    const row = document.createElement("tr")
    const heading = element("th", option)
    heading.scope = "row"
    row.append(heading, element("td", value))
    return row
  })
  section.querySelector("tbody")?.replaceChildren(...rows)
}
