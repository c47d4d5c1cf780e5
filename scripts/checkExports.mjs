// The built package as plain node sees it, by its own name: the public face is there, the internals are not.
import { readdirSync } from "node:fs"

await import("effect-pgpool")

const files = readdirSync(new URL("../dist", import.meta.url)).filter((file) =>
  file.endsWith(".js") && file !== "index.js"
)
for (const file of files) await import(`effect-pgpool/${file.slice(0, -3)}`)

const internals = readdirSync(new URL("../dist/internal", import.meta.url), { recursive: true })
for (const file of internals.map(String).filter((file) => file.endsWith(".js"))) {
  const code = await import(`effect-pgpool/internal/${file.slice(0, -3)}`).then(() => "exported", (error) => error.code)
  if (code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") {
    throw new Error(`internal/${file} can be imported from outside: ${code}`)
  }
}
