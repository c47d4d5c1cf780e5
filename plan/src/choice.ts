/** Which of the candidates are the best, and which one to take. */
import * as Arr from "effect/Array"
import * as Order from "effect/Order"
import type { Fleet } from "./fleet.js"
import { fits } from "./fleet.js"
import type { Outcome } from "./model.js"
import type { Target } from "./words/target.js"
import { meets, stress } from "./words/target.js"

/** Of candidates that hold about as many connections, other things decide: half a connection is the luck of the draw. */
const alike = (connections: number): number => Math.max(connections * 1.05, connections + 0.5)

/** None holds fewer connections on average without a longer p99 wait. From few connections to many. */
export const frontOf = (outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Outcome> => {
  let shortest = Infinity
  return Arr.sort(outcomes, byConnections).filter(({ queueGrowth, wait }) => {
    if (queueGrowth > 0 || wait.p99 >= shortest) return false
    shortest = wait.p99
    return true
  })
}

const byConnections = Order.combine(
  Order.mapInput(Order.number, ({ meanConnections }: Outcome) => meanConnections),
  Order.mapInput(Order.number, ({ wait }: Outcome) => wait.p99)
)

const byNeed = Order.combineAll([
  Order.mapInput(Order.number, ({ candidate }: Outcome) => candidate.maxoverflow),
  Order.mapInput(Order.number, ({ connects }: Outcome) => connects),
  Order.mapInput(Order.number, ({ wait }: Outcome) => wait.p99)
])

/** The smallest that meets the target and fits into the server. */
export const choose = (outcomes: ReadonlyArray<Outcome>, target: Target, fleet: Fleet): Outcome | undefined => {
  const good = outcomes.filter((outcome) => meets(target, outcome) && fits(fleet, outcome.candidate))
  const fewest = Math.min(...good.map(({ meanConnections }) => meanConnections))
  return Arr.sort(good.filter(({ meanConnections }) => meanConnections <= alike(fewest)), byNeed)[0]
}

/** The one that comes closest to the target. */
export const closest = (outcomes: ReadonlyArray<Outcome>, target: Target): Outcome =>
  outcomes.reduce((best, one) => distance(one, target) < distance(best, target) ? one : best)

const distance = (outcome: Outcome, target: Target): number =>
  outcome.queueGrowth > 0 ? Infinity : stress(target, outcome)
