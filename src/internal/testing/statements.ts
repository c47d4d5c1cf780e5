/** @internal */

/** Semicolons in these are part of a statement. A comment in a comment is left out: it ends where only a count can tell. */
const comment = String.raw`--[^\r\n]*|/\*(?:(?!/\*)[^])*?\*/`
const dollarQuoted = String.raw`\$(?<tag>[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?\$[^]*?\$\k<tag>\$`
const quoted = String.raw`[eE]'(?:[^'\\]|\\[^]|'')*'|'[^']*'|"[^"]*"`
const name = String.raw`\$\d+|[\w\x80-\uffff][\w$\x80-\uffff]*`
/** What begins one of those, and has no end that could be found. */
const open = String.raw`/\*|['"]|\$(?:[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?\$`

const tokens = new RegExp(`(?<comment>${comment})|${dollarQuoted}|${quoted}|${name}|(?<open>${open})|[^]`, "g")

/**
 * The statements of a text, which stand between semicolons. A text of which that is not certain is left whole.
 *
 * @internal
 */
export const statementsIn = (text: string): ReadonlyArray<string> => {
  const statements: Array<string> = []
  let start = 0
  let depth = 0
  let isEmpty = true
  const end = (at: number) => {
    if (!isEmpty) statements.push(text.slice(start, at))
    isEmpty = true
    start = at + 1
  }
  for (const { 0: token, groups, index } of text.matchAll(tokens)) {
    if (groups!.open !== undefined) return [text]
    if (token === "(") depth++
    if (token === ")") depth--
    if (token === ";" && depth === 0) end(index)
    else if (groups!.comment === undefined && token.trim() !== "") isEmpty = false
  }
  end(text.length)
  return depth !== 0 || hasBody.test(text) ? [text] : statements
}

/** A function whose body is written without quotes has semicolons of its own. */
const hasBody = /\bBEGIN\s+ATOMIC\b/i
