/** What is kept for each waiter and the like, on the heap and outside of it, measured in a process of its own. */
import { Console, Effect, Schema } from "effect"
import * as Child from "./child.js"
import { names } from "./clients.js"

const common = { count: Schema.Number, rounds: Schema.Number, url: Schema.String }

const Question = Schema.Union(
  Schema.Struct({ ...common, kind: Schema.Literal("waiters", "items", "sessions", "statements") }),
  Schema.Struct({
    ...common,
    kind: Schema.Literal("waiting"),
    client: Schema.Literal(names.ours, names.multiplex, names.stock)
  })
)

/** Bytes for each: the medians of the rounds. */
const Answer = Schema.Struct({
  ours: Schema.Number,
  /** What it is compared with. */
  other: Schema.Number
})

export type Question = typeof Question.Type
export type Answer = typeof Answer.Type

export const questionsOf = Schema.decode(Schema.parseJson(Schema.Array(Question)))

const answersOf = Schema.decode(Schema.parseJson(Schema.Array(Answer)))

/** The answers to all of them, in their order. */
export const measure = (questions: ReadonlyArray<Question>): Effect.Effect<ReadonlyArray<Answer>, unknown> =>
  Console.error(`Memory of ${questions.map(({ count, kind }) => `${count} ${kind}`).join(", ")}`).pipe(
    Effect.zipRight(Child.run("./memoryMain.ts", JSON.stringify(questions))),
    Effect.flatMap(answersOf)
  )
