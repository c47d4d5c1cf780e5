import { Effect, Exit, Scope } from "effect"
import { ElasticPool } from "effect-pgpool"
import type { Connection, Contender, World } from "./world.js"

/** The real pool over a fake resource, in simulated time. */
export const ours = (options: ElasticPool.PoolOptions) => (world: World): Contender => {
  const { sim } = world
  const scope = Effect.runSync(Scope.make())
  const acquire = Effect.acquireRelease(
    Effect.async<{ readonly connection: Connection; readonly connected: boolean }>((resume) => {
      const connection = world.dial((connected) => resume(Effect.succeed({ connection, connected })))
    }),
    ({ connection }) => Effect.sync(() => world.hangUp(connection))
  ).pipe(
    Effect.flatMap(({ connected, connection }) => connected ? Effect.succeed(connection) : Effect.fail("down"))
  )
  const check = (connection: Connection) => connection.broken ? Effect.fail("broken") : Effect.void
  const made = sim.fork(Scope.extend(
    ElasticPool.make({
      ...options,
      acquire,
      isTransient: () => true,
      // Where none breaks none is checked: a check would be one more reason for maxwait 0 to open a connection.
      ...world.load.outage === undefined ? {} : { check }
    }),
    scope
  )).unsafePoll()
  if (made === null || Exit.isFailure(made)) throw new Error("the pool was not made")
  const pool = made.value
  return {
    request: (service, done) => {
      const query = (connection: Connection) =>
        Effect.async<void, "broken">((resume) => {
          sim.schedule(connection.broken ? 0 : service, () =>
            resume(Effect.suspend(() =>
              connection.broken
                ? Effect.zipRight(pool.invalidate(connection), Effect.fail("broken" as const))
                : Effect.void
            )))
        })
      sim.fork(pool.use(query)).addObserver((exit) => done(Exit.isFailure(exit)))
    },
    close: () => {
      sim.fork(Scope.close(scope, Exit.void))
      sim.advance(10_000)
    }
  }
}

/**
 * What `pg-pool` does: below `max` a caller that finds none idle gets the connection that is opened for him, and no
 * other; else it queues. Idle ones are taken last in first out, and closed after `idleTimeoutMillis`, 10 seconds.
 */
export const pgPool = (max: number) => (world: World): Contender => {
  const { sim } = world
  const idle: Array<{ readonly connection: Connection; readonly stop: () => void }> = []
  const queue: Array<(connection: Connection) => void> = []
  let size = 0
  const remove = (connection: Connection) => {
    size--
    world.hangUp(connection)
    const next = queue.shift()
    if (next !== undefined) open(next, () => {})
  }
  const open = (serve: (connection: Connection) => void, fail: () => void) => {
    size++
    const connection = world.dial((connected) => {
      if (connected) return serve(connection)
      fail()
      remove(connection)
    })
  }
  const release = (connection: Connection) => {
    if (connection.broken) return remove(connection)
    const next = queue.shift()
    if (next !== undefined) return next(connection)
    const stop = sim.schedule(10_000, () => {
      idle.splice(idle.findIndex((item) => item.connection === connection), 1)
      remove(connection)
    })
    idle.push({ connection, stop })
  }
  return {
    request: (service, done) => {
      const serve = (connection: Connection) => {
        sim.schedule(connection.broken ? 0 : service, () => {
          done(connection.broken)
          release(connection)
        })
      }
      const taken = idle.pop()
      if (taken !== undefined) {
        taken.stop()
        serve(taken.connection)
      } else if (size < max) open(serve, () => done(true))
      else queue.push(serve)
    },
    close: () => {}
  }
}
