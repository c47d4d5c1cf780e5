/** The live page without a browser: requests to its router, and what a stream says. */
import type { HttpRouter } from "@effect/platform"
import { HttpApp } from "@effect/platform"
import { Effect, Option, Stream } from "effect"
import type { Scope } from "effect"

export interface Page {
  readonly get: (path: string, headers?: Record<string, string>) => Effect.Effect<Response>
  readonly text: (path: string, headers?: Record<string, string>) => Effect.Effect<string>
  /** Leaves at the end of the scope. */
  readonly watch: (
    path: string,
    headers?: Record<string, string>
  ) => Effect.Effect<Stream.Stream<Message>, never, Scope.Scope>
}

export interface Message {
  readonly event: string
  readonly data: any
}

export const of = (router: HttpRouter.HttpRouter): Page => {
  const handler = HttpApp.toWebHandler(router)
  const get: Page["get"] = (path, headers = {}) =>
    Effect.promise(() => handler(new Request(`http://localhost${path}`, { headers })))
  return {
    get,
    text: (path, headers) => Effect.flatMap(get(path, headers), (response) => Effect.promise(() => response.text())),
    watch: (path, headers = {}) =>
      Effect.gen(function*() {
        const controller = yield* Effect.acquireRelease(
          Effect.sync(() => new AbortController()),
          (controller) => Effect.sync(() => controller.abort())
        )
        const request = new Request(`http://localhost${path}`, { headers, signal: controller.signal })
        const { body } = yield* Effect.promise(() => handler(request))
        const reader = body!.getReader()
        yield* Effect.addFinalizer(() => Effect.promise(() => reader.cancel()))
        return messages(Stream.repeatEffectOption(Effect.flatMap(
          Effect.promise(() => reader.read()),
          ({ done, value }) => done ? Effect.fail(Option.none()) : Effect.succeed(value)
        )))
      })
  }
}

/** Server-sent events. */
const messages = (bytes: Stream.Stream<Uint8Array>): Stream.Stream<Message> =>
  bytes.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.filter((line) => line !== ""),
    Stream.grouped(2),
    Stream.map((lines) => {
      const [event, data] = [...lines]
      return { event: event!.replace(/^event: /, ""), data: JSON.parse(data!.replace(/^data: /, "")) }
    })
  )

/** The first message that is as it should be. */
export const until = (
  messages: Stream.Stream<Message>,
  holds: (data: any) => boolean
): Effect.Effect<any> =>
  messages.pipe(
    Stream.filter(({ data, event }) => event === "snapshot" && holds(data)),
    Stream.runHead,
    Effect.map((found) => Option.getOrThrow(found).data),
    Effect.timeout("25 seconds"),
    Effect.orDie
  )
