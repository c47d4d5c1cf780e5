// Pools under simulated loads, in simulated time: npx tsx bench/simulate/main.ts [part of a load's name]
import type { Figures } from "../../plan/src/play.js"
import { ours, run } from "./load.js"
import { loads } from "./loads.js"
import { pgPool } from "./pgPool.js"

const seed = { maxsize: 2, maxwait: 200, maxoverflow: 20 }

const contenders = {
  "pg-pool, max 10": pgPool(10),
  "pg-pool, max 20": pgPool(20),
  "fixed, 10 / 200 ms / 20": ours({ maxwait: 200 }),
  "fixed, the seed's (2 / 200 ms / 20)": ours({ ...seed, whenFull: "fail" }),
  "auto, 2 / 20": ours({ ...seed, maxwait: "auto" }),
  "auto, 10 / 20": ours({ maxwait: "auto" })
}

const row = (
  name: string,
  { connects, failed, meanConnections, peakConnections, refused, requests, wait: { p50, p99, p999 } }: Figures
): string =>
  `| ${name} | ${[p50, p99, p999].map((millis) => millis.toFixed(1)).join(" | ")} | ` +
  `${(100 * (failed + refused) / requests).toFixed(2)} % | ${
    meanConnections.toFixed(1)
  } | ${peakConnections} | ${connects} |`

for (const load of loads.filter(({ name }) => name.includes(process.argv[2] ?? ""))) {
  console.log(`### ${load.name}\n\n| | p50 wait ms | p99 | p99.9 | failures | connections | peak | connects |`)
  console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
  for (const [name, make] of Object.entries(contenders)) console.log(row(name, run(load, make)))
  console.log("")
}
