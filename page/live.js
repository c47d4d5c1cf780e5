// Follows one pool of the server, and comes back after the server was away.

const key = "effect-pgpool token"

/** @param {string} token */
export const keepToken = (token) => sessionStorage.setItem(key, token)

/** @returns {Record<string, string>} */
const headers = () => {
  const token = sessionStorage.getItem(key)
  return token === null ? {} : { authorization: `Bearer ${token}` }
}

export const hasToken = () => sessionStorage.getItem(key) !== null

/** In seconds: the server speaks each second, so after that the connection is dead. */
const longestSilence = 10

/** In seconds. */
const pauses = [1, 2, 3, 5, 10]

/**
 * @typedef {object} Told
 * @property {(pools: ReadonlyArray<{ name: string, state: string }>) => number} choose gives the index of the pool
 * @property {(event: string, data: any) => void} heard
 * @property {(seconds: number, why: string) => void} lost it is tried again after so long
 * @property {() => void} refused the token was wrong, or there was none
 */

/**
 * Ends only when `signal` is aborted, or the token is refused.
 *
 * @param {Told} told
 * @param {AbortSignal} signal
 */
export const follow = async (told, signal) => {
  let failures = 0
  while (!signal.aborted) {
    let why = "The server has ended the stream"
    try {
      const pools = await ask("pools", signal)
      if (pools === refused) return told.refused()
      const stream = await ask(`pools/${told.choose(await pools.json())}`, signal)
      if (stream === refused) return told.refused()
      for await (const { data, event } of messages(stream, signal)) {
        failures = 0
        told.heard(event, JSON.parse(data))
      }
    } catch (error) {
      why = error instanceof Answer ? error.message : "The server can't be reached"
    }
    if (signal.aborted) return
    const seconds = pauses[Math.min(failures++, pauses.length - 1)]
    for (let left = seconds; left > 0 && !signal.aborted; left--) {
      told.lost(left, why)
      await sleep(1000)
    }
  }
}

const refused = Symbol("refused")

class Answer extends Error {}

/** Waits for the answer to begin; a stream behind it has a time of its own. @param {string} path @param {AbortSignal} signal */
const ask = async (path, signal) => {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), longestSilence * 1000)
  try {
    // Not a listener of `signal`, which lives for as long as the page and would keep one for each try.
    const either = AbortSignal.any([signal, late.signal])
    const response = await fetch(path, { headers: headers(), cache: "no-store", signal: either })
    if (response.status === 401) return refused
    if (!response.ok) throw new Answer(`The server has answered ${response.status}`)
    return response
  } finally {
    clearTimeout(timer)
  }
}

/** @param {number} millis */
const sleep = (millis) => new Promise((done) => setTimeout(done, millis))

/**
 * The events of a stream: `event: ...` and `data: ...`, with an empty line behind.
 *
 * @param {Response} response
 * @param {AbortSignal} signal
 */
async function* messages(response, signal) {
  const reader = /** @type {ReadableStream<any>} */ (response.body).pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  try {
    while (!signal.aborted) {
      const { done, value } = await inTime(reader.read())
      if (done) return
      text += value
      const parts = text.split("\n\n")
      text = /** @type {string} */ (parts.pop())
      for (const part of parts) {
        const field = (/** @type {string} */ name) =>
          part.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? ""
        yield { event: field("event"), data: field("data") }
      }
    }
  } finally {
    void reader.cancel().catch(() => {})
  }
}

/** @template A @param {Promise<A>} promise @returns {Promise<A>} */
const inTime = (promise) => {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Answer("The server has fallen silent")), longestSilence * 1000)
  })
  return /** @type {Promise<A>} */ (Promise.race([promise, silence]).finally(() => clearTimeout(timer)))
}
