// Pools under simulated loads, in simulated time: npx tsx bench/simulate/main.ts [part of a load's name]
import { ours, pgPool } from "./contenders.js"
import { loads } from "./loads.js"
import type { Figures } from "./world.js"
import { World } from "./world.js"

const seed = { maxsize: 2, maxwait: 200, maxoverflow: 20 }

const contenders = {
  "pg-pool, max 10": pgPool(10),
  "pg-pool, max 20": pgPool(20),
  "fixed, 10 / 200 ms / 20": ours({ maxwait: 200 }),
  "fixed, the seed's (2 / 200 ms / 20)": ours({ ...seed, whenFull: "fail" }),
  "auto, 2 / 20": ours({ ...seed, maxwait: "auto" }),
  "auto, 10 / 20": ours({ maxwait: "auto" })
}

const row = (name: string, { connects, failures, mean, peak, requests, times: { p50, p99, p999 } }: Figures): string =>
  `| ${name} | ${[p50, p99, p999].map((millis) => millis.toFixed(1)).join(" | ")} | ` +
  `${(100 * failures / requests).toFixed(2)} % | ${mean.toFixed(1)} | ${peak} | ${connects} |`

for (const load of loads.filter(({ name }) => name.includes(process.argv[2] ?? ""))) {
  console.log(`### ${load.name}\n\n| | p50 ms | p99 | p99.9 | failures | connections | peak | connects |`)
  console.log("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
  for (const [name, make] of Object.entries(contenders)) console.log(row(name, new World(load, 1).run(make)))
  console.log("")
}
