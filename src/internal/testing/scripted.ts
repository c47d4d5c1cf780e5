/** @internal */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ClientConfig } from "pg"
import type { PgPoolOptions } from "../../PgPoolOptions.js"
import type * as Api from "../../Testing.js"
import { attempt, orDie } from "../decode.js"
import type { DecodedTarget } from "../postgres/config/target.js"
import { withStream } from "../postgres/config/wire.js"
import { timeOf } from "../time/time.js"
import { facing } from "./faults.js"
import { onWire } from "./onWire.js"
import { decodeAnswers, decodeLayer, decodeScript } from "./script.js"
import { ScriptedServer } from "./scriptedServer.js"
import { StageClock } from "./stageClock.js"

/** A layer over a scripted server. @internal */
export const scripted = <A, E, R>(
  name: string,
  faults: Context.Tag<Api.Faults, Api.Faults>,
  server: Context.Tag<Api.Server, Api.Server>,
  layer: Layer.Layer<A, E, R>,
  script: Api.Script
): Layer.Layer<A | Api.Faults | Api.Server, E, R> =>
  Layer.unwrapScoped(Effect.gen(function*() {
    const decoded = yield* orDie(attempt(() => decodeScript(script)))
    const clock = yield* Effect.clock
    const time = timeOf(yield* Effect.runtime<never>(), clock)
    const stageClock = clock === liveClock ? undefined : new StageClock(clock)
    const scriptedServer = new ScriptedServer(decoded, time)
    const { network } = scriptedServer
    yield* Effect.addFinalizer(() => Effect.sync(network.destroy))
    const ending = Layer.scopedDiscard(Effect.addFinalizer(() => stageClock?.end ?? Effect.void))
    return onWire(name, layer, {
      through: (target) => inPlain(withStream(target, scriptedServer.socket)),
      ioClock: () => stageClock ?? clock,
      face: Layer.mergeAll(ending, facing(faults, scriptedServer), Layer.succeed(server, faceOf(scriptedServer)))
    })
  }))

/** `Testing.layer`. @internal */
export const scriptedPool = <A, E, R>(
  faults: Context.Tag<Api.Faults, Api.Faults>,
  server: Context.Tag<Api.Server, Api.Server>,
  options: Api.Script & { readonly pool?: PgPoolOptions | undefined },
  layerOf: (pool: PgPoolOptions | undefined) => Layer.Layer<A, E, R>
): Layer.Layer<A | Api.Faults | Api.Server, E, R> =>
  Layer.unwrapEffect(Effect.map(
    orDie(attempt(() => decodeLayer(options))),
    ({ pool, script }) => scripted("Testing.layer", faults, server, layerOf(pool), script)
  ))

const liveClock = Context.get(DefaultServices.liveServices, Clock.Clock)

/** TLS and the login are not scripted: the server speaks without TLS and asks for no password. */
const inPlain = (target: DecodedTarget): DecodedTarget => ({
  ...target,
  login: undefined,
  client: () => ({ ...target.client(), ssl: false }) as ClientConfig
})

const faceOf = (server: ScriptedServer): Api.Server => ({
  sent: Effect.sync(() => server.sent.slice()),
  sessions: Effect.sync(() => server.sessions.size),
  answer: (...answers) =>
    Effect.flatMap(
      orDie(attempt(() => decodeAnswers("answer", answers))),
      (decoded) => Effect.sync(() => server.answer(decoded))
    )
})
