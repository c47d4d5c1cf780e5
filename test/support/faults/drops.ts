/** Packets that get lost on their way to and from a port of this machine. For root, on Linux with nftables. */
import { Effect } from "effect"
import type { Scope } from "effect"
import { execFileSync } from "node:child_process"

const nft = (...args: ReadonlyArray<string>) => execFileSync("nft", args, { stdio: "pipe" })

const attempt = (run: () => unknown): boolean => {
  try {
    run()
    return true
  } catch {
    return false
  }
}

/** Where it can't be had, why. */
export const missing = (): string | undefined => {
  if (process.getuid?.() !== 0) return "only root may drop packets"
  const name = `pgpool_probe_${process.pid}`
  return attempt(() => nft("add", "table", "inet", name)) && attempt(() => nft("delete", "table", "inet", name))
    ? undefined
    : "nftables can't be used here"
}

/** From now on so many of a hundred packets are lost, each way, until the scope closes or the process ends. */
export const lose = (port: number, percent: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const table = `pgpool_${process.pid}_${port}`
      const clean = () => void attempt(() => nft("delete", "table", "inet", table))
      process.once("exit", clean)
      nft("add", "table", "inet", table)
      nft("add", "chain", "inet", table, "input", "{ type filter hook input priority 0; }")
      for (const side of ["dport", "sport"]) {
        nft("add", "rule", "inet", table, "input", `tcp ${side} ${port} numgen random mod 100 < ${percent} drop`)
      }
      return clean
    }),
    (clean) =>
      Effect.sync(() => {
        clean()
        process.off("exit", clean)
      })
  ))
