import { Effect } from "effect"
import type { ElasticPool } from "effect-pgpool"
import { FakeResource, slow } from "./fakeResource.js"
import { fill, makePool } from "./testPool.js"

export const limits = { maxsize: 3, maxoverflow: 4 } as const

export const openedSlowly = { connect: slow("100 millis") }

/** So many idle connections, and from now on each connect takes 100 ms. */
export const idlePool = (n: number, options: Partial<ElasticPool.PoolOptions> = limits) =>
  Effect.gen(function*() {
    const fake = new FakeResource()
    const pool = yield* makePool({ ...fake.options, ...options })
    yield* fill(pool, n)
    fake.connect = openedSlowly.connect
    return { fake, pool }
  })

export const numbers = (from: number, to: number): Array<number> =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)
