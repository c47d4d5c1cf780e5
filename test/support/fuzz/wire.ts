/** Messages that go to `pg` on the spot, without a socket: many more of them in the same time. */
import { EventEmitter } from "node:events"
import * as Pg from "pg"
import { PageSize } from "../../../src/internal/postgres/driver/pageSize.js"
import { Portal } from "../../../src/internal/postgres/driver/portal.js"
import { watchProtocol } from "../../../src/internal/postgres/driver/protocol.js"
import { StatementQuery } from "../../../src/internal/postgres/driver/query.js"
import * as Wire from "../../../src/internal/testing/messages.js"
import type { Chance } from "../storm/chance.js"
import { cut, mutate } from "./mutations.js"

class Pipe extends EventEmitter {
  readonly writable = true
  isDestroyed = false
  written = 0
  connect(): void {}
  setNoDelay(): void {}
  cork(): void {}
  uncork(): void {}
  write(bytes: Buffer): boolean {
    this.written += bytes.length
    return true
  }
  end(): void {
    this.destroy()
  }
  destroy(): void {
    if (this.isDestroyed) return
    this.isDestroyed = true
    this.emit("close")
  }
}

export interface Wired {
  readonly client: Pg.Client
  readonly pipe: Pipe
  readonly violations: Array<unknown>
  /** The names of the messages that `pg` was given. */
  readonly messages: Array<string>
  readonly receive: (chunks: ReadonlyArray<Buffer>) => void
}

/** A client of `pg` whose server is whoever calls `receive`. */
export const wire = (): Wired => {
  const pipe = new Pipe()
  const client = new Pg.Client({ stream: () => pipe as never, user: "u", password: "p", ssl: false })
  const connection = (client as unknown as { readonly connection: Pg.Connection }).connection
  const violations: Array<unknown> = []
  const messages: Array<string> = []
  client.on("error", () => {})
  watchProtocol(connection as never, (violation) => {
    violations.push(violation)
    pipe.destroy()
  })
  connection.on("message", ({ name }: { readonly name: string }) => messages.push(name))
  client.connect(() => {})
  pipe.emit("connect")
  const receive = (chunks: ReadonlyArray<Buffer>) => {
    for (const chunk of chunks) if (!pipe.isDestroyed) pipe.emit("data", chunk)
  }
  return { client, pipe, violations, messages, receive }
}

const rows = [Wire.rowDescription(["a", "b"]), Wire.dataRow(["1", null]), Wire.dataRow(["2", "x"])]
const done = [Wire.complete("SELECT 2"), Wire.ready()]
const bound = [Wire.message("1"), Wire.message("2")]

interface Ask {
  readonly query: () => unknown
  readonly answer: ReadonlyArray<Buffer>
}

const callback = () => {}

export const asks: ReadonlyArray<Ask> = [
  {
    query: () => Object.assign(new StatementQuery({ text: "SELECT", values: [] }), { callback }),
    answer: [...rows, ...done]
  },
  {
    query: () => Object.assign(new StatementQuery({ text: "SELECT", values: [1] }), { callback }),
    answer: [...bound, ...rows, ...done]
  },
  {
    query: () => Object.assign(new StatementQuery({ text: "", values: [] }), { callback }),
    answer: [Wire.message("I"), Wire.ready()]
  },
  { query: () => new (Pg.Query as any)("COMMIT", [], callback), answer: [Wire.complete("COMMIT"), Wire.ready()] },
  {
    query: () => Object.assign(new Portal("SELECT", [], "Sync", new PageSize(2)), { callback }),
    answer: [...bound, ...rows, Wire.message("s"), Wire.ready("T")]
  },
  {
    query: () => {
      const portal = new Portal("SELECT", [], "Flush", new PageSize(2))
      portal.read(callback)
      return Object.assign(portal, { callback })
    },
    // What comes next is asked for when this is there.
    answer: [...bound, ...rows, Wire.message("s")]
  },
  {
    query: () => Object.assign(new StatementQuery({ text: "COPY", values: [] }), { callback }),
    answer: [Wire.message("G", Buffer.from([0, 0, 1, 0, 0])), Wire.error("57014", "failed"), Wire.ready()]
  }
]

export interface Outcome {
  /** What the client had sent when all was over. */
  readonly written: number
  readonly isViolated: boolean
}

/** One session with a server that errs in one of its answers. */
export const play = (chance: Chance): Outcome => {
  const wired = wire()
  const answers: ReadonlyArray<Ask> = [
    { query: () => undefined, answer: Wire.greeting },
    ...chance.many(1, 3, () => chance.pick(asks))
  ]
  const wrong = chance.integer(0, answers.length - 1)
  answers.forEach(({ answer, query }, i) => {
    const isReady = i === 0 || (wired.client as unknown as { readonly readyForQuery?: boolean }).readyForQuery === true
    if (wired.pipe.isDestroyed || !isReady) return
    const asked = query()
    if (asked !== undefined) wired.client.query(asked as never)
    if (i === wrong && chance.is(0.1)) wired.receive(cut(mutate([], chance), chance))
    wired.receive(cut(i === wrong ? mutate(answer, chance) : answer, chance))
  })
  wired.pipe.destroy()
  return { written: wired.pipe.written, isViolated: wired.violations.length > 0 }
}
