/** The report as one page that needs nothing from elsewhere. */
import { countOf } from "../fleet.js"
import type { Plan } from "../plan.js"
import { svg } from "./chart.js"
import { candidateTable, fleetLines, scenarioLine } from "./text.js"
import { unknown } from "./unknown.js"
import { loadWords, noneWords, pool, settingLines, targetWords } from "./words.js"

const css = `
:root { color-scheme: light dark; --page: #f4f5f7; --panel: #ffffff; --ink: #16191d; --muted: #57606b; --edge: #dde1e6;
  --accent: #0a6e7d; --tip: #16191d; --tip-ink: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1215; --panel: #171b1f; --ink: #e8ebee; --muted: #9ba5b0; --edge: #2a3036; --accent: #56c6d8;
    --tip: #e8ebee; --tip-ink: #16191d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px; max-width: 960px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 32px; }
section, pre, .scroll { background: var(--panel); border: 1px solid var(--edge); border-radius: 6px; }
pre { padding: 12px 16px; overflow-x: auto; }
.scroll { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 4px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--edge); }
th:first-child, td:first-child { text-align: left; }
.muted { color: var(--muted); }
tr.chosen { font-weight: 650; } tr.chosen td:first-child, tr.best td:first-child { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
#tip { position: fixed; pointer-events: none; max-width: 280px; padding: 6px 10px; border-radius: 4px; font-size: 13px;
  background: var(--tip); color: var(--tip-ink); }
#tip[hidden] { display: none; }`

/** Shows what a point is, to the pointer and to the keyboard. The words are also its label. */
const script = `
const tip = document.getElementById("tip")
const hide = () => { tip.hidden = true }
for (const point of document.querySelectorAll("svg g[aria-label]")) {
  const words = point.getAttribute("aria-label")
  point.querySelector("title").remove()
  const show = () => {
    const { left, right, bottom, top } = point.getBoundingClientRect()
    tip.textContent = words
    tip.hidden = false
    const x = Math.min((left + right) / 2 + 12, innerWidth - tip.offsetWidth - 8)
    const y = bottom + 8 + tip.offsetHeight > innerHeight ? top - 8 - tip.offsetHeight : bottom + 8
    tip.style.left = x + "px"
    tip.style.top = y + "px"
  }
  point.addEventListener("pointerenter", show)
  point.addEventListener("focus", show)
  point.addEventListener("pointerleave", hide)
  point.addEventListener("blur", hide)
}
addEventListener("keydown", (event) => { if (event.key === "Escape") hide() })`

export const html = (plan: Plan): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plan of a pool</title>
<style>${css}</style>
</head>
<body>
<main>
<h1>Plan of a pool</h1>
<p>Load: ${escape(loadWords(plan))}.</p>
${paragraphs(plan.input.notes)}
<p>Target: ${escape(targetWords(plan.asked.target))}.</p>
${answer(plan)}
<h2>Waits against connections</h2>
<section aria-label="Chart">
${svg(plan)}
</section>
<p class="muted">The line joins the candidates than which no other holds fewer connections without longer waits.
The ring is round the one to take.</p>
<h2>All candidates</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of all candidates">
${table(plan)}
</div>
<h2>All instances together</h2>
${paragraphs(fleetLines(plan, countOf(plan.asked.fleet, plan.best)))}
<h2>If things change</h2>
${paragraphs(plan.scenarios.map(scenarioLine(plan)))}
<h2>What the planner does not know</h2>
<ul>
${unknown(plan).map((line) => `<li>${escape(line)}</li>`).join("\n")}
</ul>
</main>
<div id="tip" role="tooltip" hidden></div>
<script>${script}
</script>
</body>
</html>
`

const paragraphs = (lines: ReadonlyArray<string>): string => lines.map((line) => `<p>${escape(line)}</p>`).join("\n")

const answer = (plan: Plan): string =>
  plan.chosen === undefined
    ? `<p><strong>${escape(noneWords(plan))}.</strong> The closest is ${escape(pool(plan.best.candidate))}.</p>`
    : `<p>The smallest that meets the target:</p>\n<pre tabindex="0">${
      escape(settingLines(plan, plan.chosen.candidate).join("\n"))
    }</pre>`

const table = (plan: Plan): string => {
  const { chosen, front, outcomes } = plan
  const { heads, rowOf } = candidateTable(plan)
  const row = (outcome: typeof outcomes[number]) => {
    const [rank, word] = outcome === chosen
      ? ["chosen", "take"]
      : front.includes(outcome)
      ? ["best", "best"]
      : ["", outcome.queueGrowth > 0 ? "grows" : ""]
    return `<tr class="${rank}">${[word, ...rowOf(outcome)].map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`
  }
  const titles = ["rank", ...heads].map((name) => `<th scope="col">${name}</th>`).join("")
  return `<table>\n<thead><tr>${titles}</tr></thead>\n<tbody>\n${outcomes.map(row).join("\n")}\n</tbody>\n</table>`
}

const marks: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" }

const escape = (text: string): string => text.replace(/[&<>"]/g, (mark) => marks[mark])
