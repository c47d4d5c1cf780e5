// The loads in simulated time: npx tsx bench/loads/main.ts [requests] [part of a load's name]. Fails if auto is worse.
import { grid } from "./grid.js"
import { oddCells } from "./odd.js"
import { markdown } from "./simulated.js"

const [requests = "2000", part = ""] = process.argv.slice(2)
const isMeant = ({ load }: { readonly load: { readonly name: string } }) => load.name.includes(part)
const { text, worse } = markdown(grid(Number(requests)).filter(isMeant), oddCells.filter(isMeant))
console.log(text)
if (worse > 0) process.exitCode = 1
