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
  const { url } = await Postgres.start().pipe(
    Scope.extend(scope),
    Effect.onError(() => close),
    Effect.runPromise
  )
  project.provide("pgUrl", url)
  return () => Effect.runPromise(close)
}
