import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import * as Postgres from "./postgres.js"

declare module "vitest" {
  export interface ProvidedContext {
    /** The address of the one server that all test files share: `inject("pgUrl")`. */
    readonly pgUrl: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const scope = Effect.runSync(Scope.make())
  const close = Scope.close(scope, Exit.void)
  // Several test files use it at the same time.
  const { url } = await Postgres.start({ parameters: { max_connections: "300" } }).pipe(
    Scope.extend(scope),
    Effect.onError(() => close),
    Effect.runPromise
  )
  project.provide("pgUrl", url)
  return () => Effect.runPromise(close)
}
