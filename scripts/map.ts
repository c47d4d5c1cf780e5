/** The map of `src` in the pages on the architecture: each file is in one row, and each path is that of a file. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { relative, resolve } from "node:path"

const pages = ["", "-pool", "-postgres", "-walks", "-dashboard"].map((part) => `docs/architecture${part}.md`)

/** The pages name files by paths from one of these on. */
const bases = ["", "src", "src/internal", "src/internal/postgres"]

/** The files in tables below a heading that is the path of their folder. */
const filesIn = (text: string): ReadonlyArray<string> => {
  let folder: string | undefined
  return text.split("\n").flatMap((line) => {
    if (line.startsWith("#")) folder = /^#+ `(src[\w/]*)`$/.exec(line)?.[1]
    if (folder === undefined || !line.startsWith("| `")) return []
    return [...line.split("|")[1]!.matchAll(/`(\w+\.ts)`/g)].map(([, file]) => `${folder}/${file}`)
  })
}

/** What is written with a slash: `pool/slot.ts`. */
const pathsIn = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/`([\w.-]+\/[\w./-]+\.ts)`/g)].map(([, path]) => path!)

/** The complaints about the map, each with its page. */
export const checkMap = (root: string): ReadonlyArray<string> => {
  const texts = pages.map((page) => readFileSync(resolve(root, page), "utf8"))
  const files = readdirSync(resolve(root, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, resolve(entry.parentPath, entry.name)))
  const rows = texts.flatMap(filesIn)
  const times = (file: string) => rows.filter((row) => row === file).length
  return [
    ...files.filter((file) => times(file) !== 1).map((file) => `${pages[0]}: has ${times(file)} rows for ${file}`),
    ...rows.filter((row) => !files.includes(row)).map((row) => `${pages[0]}: has a row for ${row}, which is no file`),
    ...texts.flatMap((text, i) =>
      pathsIn(text).filter((path) => !bases.some((base) => existsSync(resolve(root, base, path)))).map((path) =>
        `${pages[i]}: names ${path}, which is no file`
      )
    )
  ]
}
