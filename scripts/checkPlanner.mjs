// The planner as its users have it: both packages are packed, installed in an empty folder, and it plans a load there.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "effect-pgpool-plan-"))

/** @type {(command: string, args: ReadonlyArray<string>, cwd?: string) => string} */
const run = (command, args, cwd = folder) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

/** @param {string} path */
const pack = (path) => {
  const [{ filename }] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], path)
  )
  return `./${filename}`
}

try {
  writeFileSync(join(folder, "package.json"), `{ "private": true, "type": "module" }`)
  const packages = [pack(root), pack(join(root, "plan"))]
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", ...packages])
  const load = ["--rate", "50/s", "--hold", "5ms", "--length", "10s", "--maxsize", "2,4", "--maxwait", "auto"]
  const report = run("npx", ["--no-install", "effect-pgpool-plan", ...load, "--format", "json"])
  const { chosen, outcomes } = JSON.parse(report)
  if (chosen === null || outcomes.length < 2) throw new Error(`the installed planner found nothing: ${report}`)
  console.log(`The installed planner takes maxsize ${chosen.maxsize}, maxoverflow ${chosen.maxoverflow}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
