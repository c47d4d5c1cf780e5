/** What is kept for each waiter and the like, on the heap and outside of it, measured in a process of its own. */
import { Console, Effect, Schema } from "effect"
import * as Child from "./child.js"

const Question = Schema.Struct({
  kind: Schema.Literal("waiters", "items", "sessions", "statements"),
  count: Schema.Number,
  rounds: Schema.Number,
  url: Schema.String
})

/** Bytes for each: the medians of the rounds. */
const Answer = Schema.Struct({
  ours: Schema.Number,
  /** What it is compared with. */
  other: Schema.Number
})

export type Question = typeof Question.Type
export type Answer = typeof Answer.Type

export const questionOf = Schema.decode(Schema.parseJson(Question))

export const measure = (question: Question): Effect.Effect<Answer, unknown> =>
  Console.error(`Memory of ${question.count} ${question.kind}`).pipe(
    Effect.zipRight(Child.run("./memoryMain.ts", JSON.stringify(question))),
    Effect.flatMap(Schema.decode(Schema.parseJson(Answer)))
  )
