/** Which options there are. The parser of the command line says of some mistakes less than is known. */
import { levensteinDistance } from "@effect/cli/AutoCorrect"
import * as CliConfig from "@effect/cli/CliConfig"
import { options } from "./options.js"
import { shown } from "./words/shown.js"

const switches = ["rollout", "help", "version", "wizard"]
const names = [...Object.keys(options), ...switches, "completions", "log-level"]

/** The parser calls the option unknown where its value is none of these. */
const levels = ["all", "trace", "debug", "info", "warning", "error", "fatal", "none"]

/** What is wrong with the names of options, or with what stands beside them. */
export const wrongName = (args: ReadonlyArray<string>): string | undefined => {
  const seen = new Set<string>()
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "-h") continue
    const [, name, value] = /^--([^=]+)(=.*)?$/s.exec(args[i]) ?? []
    if (name === undefined) return `${shown(args[i])} belongs to no option. ${help}`
    if (!names.includes(name)) return `There is no option --${shown(name).slice(1, -1)}${meant(name)} ${help}`
    if (seen.has(name)) return `--${name} is given twice`
    seen.add(name)
    const level = value?.slice(1) ?? args[i + 1]
    if (name === "log-level" && level !== undefined && !level.startsWith("--") && !levels.includes(level)) {
      return `--log-level: ${shown(level)} is none of ${levels.join(", ")}`
    }
    if (switches.includes(name) || value !== undefined) continue
    if (args[i + 1] === undefined || args[i + 1].startsWith("--")) return `--${name} needs a value. ${help}`
    i++
  }
}

const help = "All of them: effect-pgpool-plan --help"

const meant = (name: string): string => {
  const near = names.find((one) => levensteinDistance(name, one, CliConfig.defaultConfig) <= 2)
  return near === undefined ? "." : `. Did you mean --${near}?`
}
