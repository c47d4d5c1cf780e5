/** A real browser: Chromium as Debian has it. */
import { Effect, Option } from "effect"
import type { Scope } from "effect"
import type { Browser } from "playwright-core"
import { chromium } from "playwright-core"
import * as Program from "./program.js"

const program = Program.find("chromium")

export const isInstalled = Option.isSome(program)
if (!isInstalled) console.warn("SKIPPED: there is no chromium on this machine, so the page is tried in no browser")

/** Root has no sandbox to run it in. */
export const start: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({ executablePath: Option.getOrThrow(program), args: ["--no-sandbox", "--disable-gpu"] })
  ),
  (browser) => Effect.promise(() => browser.close())
)
