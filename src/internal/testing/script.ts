/** @internal */
import * as Predicate from "effect/Predicate"
import type * as Api from "../../Testing.js"
import { BadOption, duration, ofType, wholeNumber } from "../decode.js"
import { didYouMean, meantBy } from "../spelling.js"
import type { ErrorFields, Outcome } from "./control.js"
import { write } from "./values.js"

/** What a statement is answered with. @internal */
export interface Answer {
  readonly matches: (sent: Api.Sent) => boolean
  /** `undefined`: as if there were no script, such as for a COMMIT. `"hangs"`: never. */
  readonly outcome: ((sent: Api.Sent) => Outcome) | "hangs" | undefined
  /** In milliseconds. */
  readonly delay: number
  /** How many statements it is still for. */
  left: number
}

/** What becomes of one connect. @internal */
export type Fate =
  | { readonly _tag: "Accepted" | "Refused" | "Hangs"; readonly delay: number }
  | { readonly _tag: "Failure"; readonly delay: number; readonly fields: ErrorFields }

/** @internal */
export interface Script {
  readonly statements: ReadonlyArray<Answer>
  readonly fateOf: (n: number) => Fate
}

/** White space makes no difference, and neither does a semicolon at the end. @internal */
export const normal = (text: string): string => text.trim().replace(/;$/, "").trim().replace(/\s+/g, " ")

/** The script in the options of `Testing.layer`, and the options of the pool, which stand beside it. @internal */
export const decodeLayer = <P extends object>(options: Api.Script & { readonly pool?: P | undefined }) => {
  const { pool, ...script } = scriptOf(options)
  return { pool: pool === undefined ? undefined : objectOf("pool", pool), script }
}

const scriptOf = <A extends Api.Script>(script: A): A =>
  objectOf("the script", script, "an object, such as { statements: [...] }")

/** @internal */
export const decodeScript = (script: Api.Script): Script => {
  known("", scriptOf(script), ["statements", "connect"])
  const { connect = {} } = script
  const fateOf = typeof connect === "function"
    // It is called in an event of the socket: a bad answer there can only be an error of the connect.
    ? (n: number) => decodeConnect(`connect(${n})`, connect(n))
    : () => fate
  const fate = typeof connect === "function" ? accepted : decodeConnect("connect", connect)
  return { statements: decodeAnswers("statements", script.statements ?? []), fateOf }
}

const accepted: Fate = { _tag: "Accepted", delay: 0 }

/** @internal */
export const decodeAnswers = (name: string, answers: ReadonlyArray<Api.Answer>): ReadonlyArray<Answer> => {
  if (!Array.isArray(answers)) throw new BadOption(name, answers, "an array")
  return answers.map((answer, index) => decodeAnswer(`${name}[${index}]`, answer))
}

const decodeAnswer = (name: string, answer: Api.Answer): Answer => {
  known(`${name}.`, answer, ["text", "rows", "count", "error", "dies", "hangs", "delay", "times"])
  onlyOne(name, answer, ["rows", "error", "dies", "hangs"])
  onlyOne(name, answer, ["count", "rows", "error", "dies", "hangs"])
  onlyOne(name, answer, ["delay", "hangs"])
  return {
    matches: decodeText(`${name}.text`, answer.text),
    outcome: decodeOutcome(name, answer),
    delay: answer.delay === undefined ? 0 : duration(`${name}.delay`, answer.delay),
    left: answer.times === undefined ? Infinity : wholeNumber(`${name}.times`, answer.times, { min: 1 })
  }
}

const decodeText = (name: string, text: Api.Answer["text"]): Answer["matches"] => {
  if (typeof text === "function") {
    return (sent) => {
      const matches = text(sent)
      if (typeof matches === "boolean") return matches
      throw new BadOption(`${name}(...)`, matches, "true or false")
    }
  }
  if (typeof text === "string" && text.trim() !== "") {
    const expected = normal(text)
    return (sent) => sent.text === expected
  }
  // Without the flags of those that go on where the last match has ended.
  if (text instanceof RegExp) {
    const pattern = new RegExp(text.source, text.flags.replace(/[gy]/g, ""))
    return (sent) => pattern.test(sent.text)
  }
  throw new BadOption(name, text, "the text of a statement, a RegExp or a function")
}

const decodeOutcome = (name: string, answer: Api.Answer): Answer["outcome"] => {
  const { count, dies, error, hangs, rows } = answer
  ofType(`${name}.dies`, dies, "boolean")
  ofType(`${name}.hangs`, hangs, "boolean")
  if (hangs === true) return "hangs"
  if (dies === true) return () => ({ _tag: "Death" })
  if (error !== undefined) {
    const fields = decodeError(`${name}.error`, error)
    return () => ({ _tag: "Failure", fields })
  }
  if (typeof rows === "function") return (sent) => answered(sent, write(`${name}.rows`, rows(sent)))
  if (rows !== undefined) {
    const written = write(`${name}.rows`, rows)
    return (sent) => answered(sent, written)
  }
  if (count === undefined) return undefined
  const affected = wholeNumber(`${name}.count`, count, { min: 0 })
  return ({ text }) => ({ _tag: "Rows", columns: [], rows: [], command: commandOf(text, affected) })
}

const answered = ({ text }: Api.Sent, { columns, rows }: ReturnType<typeof write>): Outcome => ({
  _tag: "Rows",
  columns,
  rows,
  command: commandOf(text, rows.length)
})

/** What the server says that it has done. @internal */
export const commandOf = (text: string, count: number): string => {
  const [first = "", second = ""] = text.toUpperCase().split(" ")
  if (first === "INSERT") return `INSERT 0 ${count}`
  if (/^(CREATE|DROP|ALTER)$/.test(first)) return `${first} ${second}`
  if (/^(SELECT|WITH|VALUES|TABLE|SHOW)$/.test(first)) return `SELECT ${count}`
  return /^(UPDATE|DELETE|MERGE)$/.test(first) ? `${first} ${count}` : first
}

const decodeConnect = (name: string, connect: Api.Connect): Fate => {
  known(`${name}.`, connect, ["delay", "refused", "hangs", "error"])
  onlyOne(name, connect, ["refused", "hangs", "error"])
  onlyOne(name, connect, ["delay", "hangs"])
  ofType(`${name}.refused`, connect.refused, "boolean")
  ofType(`${name}.hangs`, connect.hangs, "boolean")
  const delay = connect.delay === undefined ? 0 : duration(`${name}.delay`, connect.delay)
  if (connect.error !== undefined) {
    return {
      _tag: "Failure",
      delay,
      fields: { ...decodeError(`${name}.error`, connect.error), S: "FATAL", V: "FATAL" }
    }
  }
  return { _tag: connect.refused === true ? "Refused" : connect.hangs === true ? "Hangs" : "Accepted", delay }
}

/** The letters of the fields that a script may have. */
const letters = {
  message: "M",
  detail: "D",
  hint: "H",
  schema: "s",
  table: "t",
  column: "c",
  constraint: "n"
} as const

const decodeError = (name: string, error: string | Api.ServerError): ErrorFields => {
  const given: Api.ServerError = typeof error === "string" ? { code: error } : error
  known(`${name}.`, given, ["code", ...Object.keys(letters)])
  const { code } = given
  if (typeof code !== "string" || !/^[0-9A-Z]{5}$/.test(code)) {
    throw new BadOption(`${name}.code`, code, "an SQLSTATE: five digits or capitals, such as \"40001\"")
  }
  // As the server does with 57P01 and its like: it ends the session.
  const severity = code.startsWith("57P") ? "FATAL" : "ERROR"
  const fields: Record<string, string> = {}
  for (const [field, letter] of Object.entries(letters)) {
    const text = given[field as keyof typeof letters]
    ofType(`${name}.${field}`, text, "string")
    if (text !== undefined) fields[letter] = text
  }
  return { M: `the script says ${code}`, ...fields, S: severity, V: severity, C: code }
}

const objectOf = <A extends object>(name: string, value: A, allowed = "an object"): A => {
  if (Predicate.isRecord(value)) return value
  throw new BadOption(name, value, allowed)
}

const known = (prefix: string, value: object, names: ReadonlyArray<string>): void => {
  for (const [field, given] of Object.entries(objectOf(prefix.replace(/\.$/, ""), value))) {
    if (names.includes(field)) continue
    const hint = didYouMean(meantBy(field, names)) ?? `there are ${names.join(", ")}`
    throw new BadOption(`${prefix}${field}`, given, `left out: there is no such field, ${hint}`)
  }
}

/** `false` is the same as nothing. */
const onlyOne = (name: string, value: object, fields: ReadonlyArray<string>): void => {
  const given = Object.entries(value).filter(([field, value]) =>
    fields.includes(field) && value !== undefined && value !== false
  )
  if (given.length < 2) return
  const names = given.map(([field]) => field)
  throw new BadOption(name, Object.fromEntries(given), `without ${names.join(" or ")}: they contradict each other`)
}
