import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { getEventListeners } from "node:events"

/** The script of a browser: it has a check of types of its own, with the names that a browser knows. */
const { follow } = await import(new URL("../../page/live.js", import.meta.url).href)

describe("R44: how the page follows its server", () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it("no try leaves a listener at the signal that ends them all", async () => {
    vi.stubGlobal("sessionStorage", { getItem: () => null })
    const asked: Array<string> = []
    vi.stubGlobal("fetch", (path: string) => {
      asked.push(path)
      return Promise.resolve(path === "pools" ? Response.json([]) : new Response("", { status: 503 }))
    })
    const controller = new AbortController()
    const left: Array<number> = []
    const told = {
      choose: () => 0,
      heard: () => {},
      refused: () => {},
      lost: () => {
        left.push(getEventListeners(controller.signal, "abort").length)
        controller.abort()
      }
    }
    await follow(told, controller.signal)
    assert.deepStrictEqual(asked, ["pools", "pools/0"])
    assert.deepStrictEqual(left, [0])
  })

  it("whoever ends it ends the request that is under way", async () => {
    vi.stubGlobal("sessionStorage", { getItem: () => null })
    const controller = new AbortController()
    vi.stubGlobal("fetch", (_: string, { signal }: { signal: AbortSignal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason))
        controller.abort()
      }))
    const told = { choose: () => 0, heard: () => {}, refused: () => {}, lost: () => assert.fail("it goes on") }
    await follow(told, controller.signal)
    assert.isTrue(controller.signal.aborted)
  })
})
