/**
 * Every block fenced as `ts` in a docstring of src or in a Markdown file is a program that must compile. A fragment is
 * fenced as `ts fragment`. Everything public says since when it exists and to which category it belongs. Each link
 * between the pages leads somewhere, no page is too long, each option is in a table, and each file in the map.
 */
import { readFileSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { checkPages } from "./links.js"
import { checkMap } from "./map.js"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")

/** Without what is made here. */
const find = (extension: string, include: string) =>
  ts.sys.readDirectory(root, [extension], ["node_modules", "dist", "coverage", "bench/report.md"], [include])

const sources = find(".ts", "src/**/*")

/** A block by the name of its file, behind so many empty lines that an error has the line of the original. */
const blocksOf = (file: string): Array<[name: string, code: string]> => {
  const lines = readFileSync(file, "utf8").split("\n").map((line) =>
    file.endsWith(".md") ? line : line.replace(/^ *\* ?/, "")
  )
  const blocks: Array<[string, string]> = []
  for (let start = lines.indexOf("```ts"); start >= 0; start = lines.indexOf("```ts", start + 1)) {
    const code = lines.slice(start + 1, lines.indexOf("```", start))
    blocks.push([`${file}.${start + 1}.ts`, "\n".repeat(start + 1) + code.join("\n")])
  }
  return blocks
}

const pages = find(".md", "**/*")

const blocks = new Map([...sources, ...pages].flatMap(blocksOf))

const config = ts.getParsedCommandLineOfConfigFile(resolve(root, "tsconfig.json"), { noUnusedLocals: false }, {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
    throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"))
  }
})!

const host = ts.createCompilerHost(config.options)
const program = ts.createProgram([...sources, ...blocks.keys()], config.options, {
  ...host,
  fileExists: (file) => blocks.has(file) || host.fileExists(file),
  readFile: (file) => blocks.get(file) ?? host.readFile(file),
  getSourceFile: (file, options) => {
    const block = blocks.get(file)
    return block === undefined ? host.getSourceFile(file, options) : ts.createSourceFile(file, block, options)
  }
})

const errors: Array<string> = [...checkPages(root, pages), ...checkMap(root)]

const complain = (file: ts.SourceFile, position: number, message: string) => {
  const { line } = file.getLineAndCharacterOfPosition(position)
  errors.push(`${relative(root, file.fileName).replace(/\.\d+\.ts$/, "")}:${line + 1} ${message}`)
}

for (const name of blocks.keys()) {
  const file = program.getSourceFile(name)!
  for (
    const { messageText, start } of [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
  ) {
    complain(file, start ?? 0, ts.flattenDiagnosticMessageText(messageText, "\n"))
  }
}

/** A block that begins with the path of an example is that example, which runs elsewhere. */
for (const [name, code] of blocks) {
  const [, path, copy] = /^\s*\/\/ (examples\/\S+)\n(.*)$/s.exec(code) ?? []
  if (path !== undefined && `${copy}\n` !== readFileSync(resolve(root, path), "utf8")) {
    complain(program.getSourceFile(name)!, code.search(/\S/), `is not ${path} as it stands there`)
  }
}

const tagsOf = (node: ts.Node) => ts.getJSDocTags(node).map((tag) => tag.tagName.text)

const checker = program.getTypeChecker()
for (const name of sources.filter((name) => !name.includes("/internal/") && !name.endsWith("/index.ts"))) {
  const file = program.getSourceFile(name)!
  const module = checker.getSymbolAtLocation(file)
  for (const symbol of module === undefined ? [] : checker.getExportsOfModule(module)) {
    // What is exported again has its docstring where it is declared.
    const declarations = (symbol.declarations ?? []).filter((node) =>
      node.getSourceFile() === file && !ts.isExportSpecifier(node)
    )
    const tags = declarations.flatMap(tagsOf)
    if (declarations.length === 0 || tags.includes("internal")) continue
    for (const tag of ["since", "category"]) {
      if (!tags.includes(tag)) complain(file, declarations[0]!.getStart(file), `${symbol.name} has no @${tag}`)
    }
  }
}

/** The tables of the pages have a row for each option that a user can give. */
const rowsOfOptions = ["options-pool.md", "options-connection.md", "several-hosts.md", "any-resource.md"].flatMap((
  page
) => readFileSync(resolve(root, "docs", page), "utf8").split("\n").filter((line) => line.startsWith("| `"))).map((
  row
) => row.split("|")[1])

for (const [file, name] of [["PgPoolOptions.ts", "PgPoolOptions"], ["ElasticPool.ts", "ResourceOptions"]] as const) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(resolve(root, "src", file))!)!
  const options = checker.getExportsOfModule(module).find((symbol) => symbol.name === name)!
  for (const option of checker.getDeclaredTypeOfSymbol(options).getProperties()) {
    const isRenamed = checker.typeToString(checker.getTypeOfSymbol(option)).includes("UseInstead")
    if (isRenamed || rowsOfOptions.some((row) => row?.includes(`\`${option.name}\``))) continue
    errors.push(`docs/options-pool.md: no row for ${option.name} of ${name}`)
  }
}

for (const error of errors) console.error(error)
console.log(`${blocks.size} examples, ${pages.length} pages, ${errors.length} errors`)
process.exitCode = errors.length === 0 ? 0 : 1
