/** The report for a terminal. */
import * as Either from "effect/Either"
import type { Count } from "../fleet.js"
import { countOf, fits, reserved } from "../fleet.js"
import type { Outcome } from "../model.js"
import type { Plan, Scenario } from "../plan.js"
import { meets } from "../words/target.js"
import { unknown } from "./unknown.js"
import {
  counted,
  loadWords,
  noneWords,
  oneDigit,
  percent,
  pool,
  refusedPart,
  settingLines,
  targetWords,
  time,
  wait,
  whole
} from "./words.js"

export const text = (plan: Plan): string =>
  [
    `Load: ${loadWords(plan)}.`,
    ...plan.input.notes,
    `Target: ${targetWords(plan.asked.target)}.`,
    "",
    ...table(plan),
    "",
    "> the one to take   * no other holds fewer connections without longer waits   ! grows for ever   - does not fit",
    "",
    ...answer(plan),
    "",
    "What it does not know:",
    ...unknown(plan).map((line) => `- ${line}`),
    ""
  ].join("\n")

const columns = [
  "maxsize",
  "maxwait",
  "maxoverflow",
  "p50",
  "p99",
  "p99.9",
  "refused",
  "mean",
  "peak",
  "connects"
]

const cells = (outcome: Outcome): ReadonlyArray<string> => {
  const { candidate, connects, meanConnections, peakConnections } = outcome
  return [
    `${candidate.maxsize}`,
    wait(candidate.maxwait),
    `${candidate.maxoverflow}`,
    time(outcome.wait.p50),
    time(outcome.wait.p99),
    time(outcome.wait.p999),
    percent(refusedPart(outcome)),
    oneDigit(meanConnections),
    `${peakConnections}`,
    whole(connects)
  ]
}

/** The heads and rows of the table of candidates. Where an outage ended some callers, the last column counts them. */
export const candidateTable = ({ outcomes }: Plan) => {
  const hasFailed = outcomes.some(({ failed }) => failed > 0)
  return {
    heads: hasFailed ? [...columns, "failed"] : columns,
    rowOf: (outcome: Outcome) => hasFailed ? [...cells(outcome), whole(outcome.failed)] : cells(outcome)
  }
}

/** `>`, `*`, `!` and `-`, as the table explains them. */
const marksOf = ({ asked: { fleet }, chosen, front }: Plan, outcome: Outcome): string =>
  [
    outcome === chosen ? ">" : "",
    front.includes(outcome) ? "*" : "",
    outcome.queueGrowth > 0 ? "!" : "",
    fits(fleet, outcome.candidate) ? "" : "-"
  ].join("")

const table = (plan: Plan): ReadonlyArray<string> => {
  const { heads, rowOf } = candidateTable(plan)
  const rows = [["", ...heads], ...plan.outcomes.map((outcome) => [marksOf(plan, outcome), ...rowOf(outcome)])]
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return rows.map((row) => row.map((cell, i) => cell.padStart(widths[i])).join("  "))
}

const answer = (plan: Plan): ReadonlyArray<string> => {
  const { asked: { fleet }, best, chosen } = plan
  const lines = [...fleetLines(plan, countOf(fleet, best)), "", ...plan.scenarios.map(scenarioLine(plan))]
  return chosen === undefined
    ? [`${noneWords(plan)}.`, `The closest to the target: ${pool(best.candidate)}.`, "", ...lines]
    : ["The smallest that meets the target:", "", ...settingLines(plan, chosen.candidate), "", ...lines]
}

export const fleetLines = (
  { asked: { fleet } }: Plan,
  { allowed, kept, mean, worst }: Count
): ReadonlyArray<string> => {
  const who = fleet.instances === 1 ? "It holds" : `All ${fleet.instances} instances hold`
  const rollout = fleet.rollout ? ", with old and new instances at once" : ""
  const room = allowed === undefined
    ? "say --max-connections to compare it with what the server allows"
    : `the server allows ${allowed} (--max-connections less ${reserved} that are reserved)${
      worst > allowed ? ": too many" : ""
    }`
  return [
    `${who} ${oneDigit(mean)} connections on average under this load, and ${kept} ${
      kept === 1 ? "is" : "are"
    } kept on an ordinary day.`,
    `At worst ${worst}${rollout}, one listener for each included; ${room}.`
  ]
}

export const scenarioLine = (plan: Plan) => ({ name, result }: Scenario): string =>
  `With ${name}: ${
    Either.match(result, {
      onLeft: ({ cores, needed }) => `the statements need ${oneDigit(needed)} cores, and the server has ${cores}.`,
      onRight: (outcome) => scenarioWords(plan, outcome)
    })
  }`

const scenarioWords = ({ asked: { target } }: Plan, outcome: Outcome): string =>
  outcome.queueGrowth > 0
    ? `the queue grows for ever, by ${counted(outcome.queueGrowth, "caller")} each second.`
    : `p99 wait ${time(outcome.wait.p99)}, ${percent(refusedPart(outcome))} refused, ` +
      `${oneDigit(outcome.meanConnections)} connections on average; ${
        meets(target, outcome) ? "the target is met" : "the target is missed"
      }.`
