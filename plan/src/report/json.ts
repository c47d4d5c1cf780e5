/** The report for tools. Times are milliseconds, and parts are of 1. */
import * as Either from "effect/Either"
import { countOf, fits } from "../fleet.js"
import type { Outcome } from "../model.js"
import type { Plan } from "../plan.js"
import { meets } from "../words/target.js"
import { unknown } from "./unknown.js"
import { settings } from "./words.js"

/** Changes when a field gets another meaning. */
const version = 1

export const json = (plan: Plan): string => {
  const { asked: { fleet, from, seed, target }, best, chosen, demand, front, input, outages, outcomes, scenarios } =
    plan
  const judged = (outcome: Outcome) => ({ ...outcome, meetsTarget: meets(target, outcome) })
  return `${
    JSON.stringify(
      {
        version,
        load: { from: from._tag, name: input.source.name, ...demand, notes: input.notes },
        seed,
        outages,
        target: { ...Object.fromEntries(target.waits), refused: target.refused },
        outcomes: outcomes.map((outcome) => ({
          ...judged(outcome),
          fits: fits(fleet, outcome.candidate),
          isOnFront: front.includes(outcome)
        })),
        chosen: chosen === undefined ? null : { ...chosen.candidate, environment: settings(plan, chosen.candidate) },
        closest: best.candidate,
        fleet: { ...fleet, ...countOf(fleet, best) },
        scenarios: scenarios.map(({ name, result }) => ({
          name,
          ...Either.match(result, {
            onLeft: (overload) => ({ overload }),
            onRight: (outcome) => ({ outcome: judged(outcome) })
          })
        })),
        unknown: unknown(plan)
      },
      null,
      2
    )
  }\n`
}
