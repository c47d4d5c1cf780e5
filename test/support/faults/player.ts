// Plays one case with one contender, in a process of its own: not every contender outlives it.
import { Effect } from "effect"
import { play } from "./case.js"
import { cases } from "./cases.js"
import type { Name } from "./contender.js"

const [title, name] = process.argv.slice(2)

const report = await Effect.runPromise(play(cases.find((one) => one.name === title)!, name as Name))

process.send!(report, () => process.exit())
