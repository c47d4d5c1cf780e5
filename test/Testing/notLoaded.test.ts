import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const src = fileURLToPath(new URL("../../src", import.meta.url))

/** What a file imports of this package. A file that is imported only for its types is not loaded. */
const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export) (?!type )(?:[^";]*? from )?"(\.[^"]+)\.js"/gm)].map(
    ([, path]) => resolve(dirname(file), `${path}.ts`)
  )

const imports = new Map<string, ReadonlyArray<string>>()

/** All files that a file loads, itself too. */
const loadedBy = (file: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(file)) return seen
  seen.add(file)
  if (!imports.has(file)) imports.set(file, importsOf(file))
  for (const next of imports.get(file)!) loadedBy(next, seen)
  return seen
}

const isOfKit = (file: string) => /^(Testing\.ts|internal\/testing\/)/.test(relative(src, file))

describe("R46: production code", () => {
  it("loads nothing of the kit, whichever other module is imported", () => {
    const modules = readdirSync(src).filter((name) => name.endsWith(".ts") && name !== "Testing.ts")
    assert.include(modules, "index.ts")
    for (const name of modules) {
      const loaded = [...loadedBy(resolve(src, name))]
      assert.include(loaded, resolve(src, name))
      assert.deepStrictEqual(loaded.filter(isOfKit), [], name)
    }
    // The look itself finds what is loaded.
    assert.isAbove([...loadedBy(resolve(src, "Testing.ts"))].filter(isOfKit).length, 3)
    assert.isAbove(loadedBy(resolve(src, "index.ts")).size, 50)
  })
})
