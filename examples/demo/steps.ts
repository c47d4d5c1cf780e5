/**
 * The worked example of django_pgpool, step by step. Each step compares what the pool says and what the server says
 * with what was promised.
 */
import { Cause, Clock, Data, Effect, Either } from "effect"
import { PgPool } from "effect-pgpool"
import type { Holder } from "./callers.js"
import { ask, hold } from "./callers.js"
import { expectKept, expectOpen, expectSession, expectWait, pids, plural, report, seconds } from "./checks.js"
import { Observer } from "./observer.js"
import type { Check } from "./report.js"
import { Report } from "./report.js"

/**
 * The numbers of the example, times in milliseconds, and its exception at the hard limit. Its `expires` is 10 minutes,
 * which nobody wants to watch. It must be so long that a slow machine plays a step that counts connections before they
 * expire.
 */
export const seed = { maxsize: 2, maxwait: 200, maxoverflow: 20, whenFull: "fail", expires: 4000 } as const

/** How many ask at the same time in the storm. */
const storm = 40

/** Something was not as promised. */
export class Difference extends Data.TaggedError("Difference")<{ readonly checks: ReadonlyArray<Check> }> {
  override get message(): string {
    const subjects = this.checks.map(({ subject }) => `\n  ${subject}`).join("")
    return `${this.checks.length === 1 ? "1 check differs" : `${this.checks.length} checks differ`}:${subjects}`
  }
}

type Services = PgPool.PgPool | Observer | Report

/**
 * Plays all steps, whatever comes of each, and fails if anything was not as promised. The pool of the context is to
 * have the numbers of `seed`, and this `expires`.
 */
export const play = (expires: number = seed.expires): Effect.Effect<void, Difference, Services> =>
  collectDifferences(Effect.gen(function*() {
    yield* step("At the beginning the pool is empty", nobodyAsked)
    yield* step(`Returned connections are kept, up to ${seed.maxsize}`, returnedAreKept)
    yield* step(`A third request waits ${seconds(seed.maxwait)}, then gets a new connection`, thirdWaits)
    yield* Effect.scoped(Effect.gen(function*() {
      const holders: Array<Holder> = []
      yield* step(`A storm of ${storm} holders opens exactly ${seed.maxoverflow}, the rest is refused`, rage(holders))
      yield* step(`The first ${seed.maxsize} returned are kept, the others closed at once`, calmDown(holders))
    }))
    yield* step(`After ${seconds(expires)} (expires) a request gets a new session`, oldExpire(expires))
    yield* step("With one request at a time the pool settles on one connection", settle(expires))
    yield* step("A quiet pool keeps its latest connection", stayWarm(expires))
  }))

const nobodyAsked = expectOpen("nobody has asked", { busy: 0, idle: 0 })

const returnedAreKept = Effect.gen(function*() {
  const first = yield* hold
  const second = yield* hold
  yield* expectOpen("two callers at once", { busy: 2, idle: 0 })
  yield* first.giveBack
  yield* second.giveBack
  yield* expectKept("both gave back", [first, second])
  const next = yield* hold
  yield* expectSession(next, "one of those two", () => next.pid === first.pid || next.pid === second.pid)
  yield* expectOpen("one caller more", { busy: 1, idle: 1 })
}).pipe(Effect.scoped)

const thirdWaits = Effect.gen(function*() {
  const first = yield* hold
  const second = yield* hold
  const third = yield* hold
  yield* expectWait("a third caller waited", seed.maxwait, [third.waited])
  yield* expectSession(third, "a new one", () => third.pid !== first.pid && third.pid !== second.pid)
  yield* expectOpen("three callers at once", { busy: 3, idle: 0 })
}).pipe(Effect.scoped)

/** Those who get a connection join the holders. */
const rage = (holders: Array<Holder>) =>
  Effect.gen(function*() {
    const callers = yield* Effect.replicateEffect(ask, storm)
    const answers = yield* Effect.forEach(callers, Effect.either)
    const refused = answers.filter(Either.isLeft).map(({ left }) => left)
    for (const answer of answers) if (Either.isRight(answer)) holders.push(answer.right)
    yield* expectOpen(`${storm} callers at once`, { busy: seed.maxoverflow, idle: 0 })
    const errors = refused.map(({ cause }) => cause._tag)
    yield* report("the others were refused", `${storm - seed.maxoverflow} times PoolExhausted`, {
      pool: `${errors.length} times ${[...new Set(errors)].join(" or ")}`,
      server: "-",
      holds: errors.length === storm - seed.maxoverflow && errors.every((tag) => tag === "PoolExhausted")
    })
    yield* expectWait("after they had waited", seed.maxwait, refused.map(({ waited }) => waited))
  })

const calmDown = (holders: ReadonlyArray<Holder>) =>
  Effect.gen(function*() {
    // The last served first: theirs are the connections that will not expire while we look.
    const [first, second, third, ...others] = [...holders].reverse()
    if (third === undefined) return yield* report("the storm", "three holders or more", nobody)
    yield* first.giveBack
    yield* second.giveBack
    yield* expectOpen("two gave back", { busy: seed.maxoverflow - 2, idle: 2 })
    yield* third.giveBack
    yield* expectOpen("a third gave back", { busy: seed.maxoverflow - 3, idle: 2 })
    yield* Effect.forEach(others, (holder) => holder.giveBack)
    yield* expectKept("all gave back", [first, second])
  })

const nobody = { pool: "fewer", server: "-", holds: false }

const oldExpire = (expires: number) =>
  Effect.gen(function*() {
    const old = yield* Effect.flatMap(Observer, ({ sessions }) => sessions)
    yield* Effect.sleep(expires * 1.1)
    const next = yield* hold
    yield* expectSession(next, `new, without ${pids(old)}`, (sessions) => !sessions.some((pid) => old.includes(pid)))
  }).pipe(Effect.scoped)

const settle = (expires: number) =>
  Effect.gen(function*() {
    yield* Effect.scoped(Effect.gen(function*() {
      yield* hold
      yield* hold
      yield* expectOpen("two callers at once", { busy: 2, idle: 0 })
    }))
    const end = (yield* Clock.currentTimeMillis) + expires * 1.15
    let requests = 0
    for (; (yield* Clock.currentTimeMillis) < end; requests++) {
      yield* Effect.scoped(Effect.zipRight(hold, Effect.sleep("50 millis")))
      yield* Effect.sleep("100 millis")
    }
    yield* expectOpen(`after ${plural(requests, "request")} one at a time`, { busy: 0, idle: 1 })
  })

const stayWarm = (expires: number) =>
  Effect.gen(function*() {
    const { stats } = yield* PgPool.PgPool
    yield* Effect.sleep(expires * 1.1)
    yield* expectOpen(`nobody asked for ${seconds(expires * 1.1)}`, { busy: 0, idle: 1 })
    const before = yield* stats
    const next = yield* hold
    const after = yield* stats
    yield* expectSession(
      next,
      "that one, no connect",
      (sessions) => sessions.length === 1 && after.opened === before.opened
    )
  }).pipe(Effect.scoped)

/** A step that fails is a difference too, and the play goes on. */
const step = <E, R>(title: string, body: Effect.Effect<void, E, R>): Effect.Effect<void, never, R | Report> =>
  Effect.flatMap(Report, ({ step }) => step(title)).pipe(
    // So that the live page says which step holds a connection.
    Effect.zipRight(Effect.withSpan(body, title)),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.interrupt
        : report("the step", "no failure", {
          pool: Cause.pretty(cause).split("\n")[0] ?? "",
          server: "-",
          holds: false
        })
    )
  )

const collectDifferences = <R>(steps: Effect.Effect<void, never, R>): Effect.Effect<void, Difference, R | Report> =>
  Effect.gen(function*() {
    const differences: Array<Check> = []
    yield* Effect.updateService(steps, Report, (report) => ({
      ...report,
      check: (check) =>
        Effect.suspend(() => {
          if (!check.holds) differences.push(check)
          return report.check(check)
        })
    }))
    if (differences.length > 0) return yield* new Difference({ checks: differences })
  })
