/** @internal */

/** One that is told something, and knows what. @internal */
export interface Party {
  readonly tell: () => void
}

/**
 * What the pool tells the outside: that a wait has ended, what a connection is to do, that a fiber begins or is to end.
 * All of it is told here, in order, after the critical section in which it came up has ended.
 *
 * A party that is told something may call the pool at once. That call is a section of its own, and what comes up in it
 * is told after all that came before, outside the call. So no section is ever entered while another one runs, and the
 * stack does not grow with the number of those that answer at once.
 *
 * @internal
 */
export class Outbox {
  /** Sections that call each other are one section. */
  private depth = 0
  private isTelling = false
  /**
   * One array for good, whose places are emptied: V8 comes to allocate arrays made at each telling among the old objects,
   * where they keep the parties, and what these keep, until the next major collection.
   */
  private readonly messages: Array<Party | (() => void) | undefined> = []
  private untold = 0

  /** Runs a critical section to its end, and then tells what has come up in it. */
  section<A>(body: () => A): A {
    this.enter()
    try {
      return body()
    } finally {
      this.leave()
    }
  }

  /** The same in two parts, without a function for what is between: where each loan passes. */
  enter(): void {
    this.depth++
  }

  leave(): void {
    this.depth--
    this.tellAll()
  }

  /** Tells this after the section, or now where none runs. */
  post(message: Party | (() => void)): void {
    this.messages[this.untold++] = message
    this.tellAll()
  }

  /** Whether no section runs, and no party is being told anything. */
  get isAtRest(): boolean {
    return this.depth === 0 && !this.isTelling
  }

  /** Tells one party its answer at once, and costs no message. Only where this is at rest. */
  tellNow<A>(party: (answer: A) => void, answer: A): void {
    this.isTelling = true
    try {
      party(answer)
    } finally {
      this.isTelling = false
      this.tellAll()
    }
  }

  private tellAll(): void {
    if (this.untold === 0 || !this.isAtRest) return
    this.isTelling = true
    let failed: { readonly defect: unknown } | undefined
    for (let n = 0; n < this.untold; n++) {
      const message = this.messages[n]!
      this.messages[n] = undefined
      try {
        if (typeof message === "function") message()
        else message.tell()
      } catch (defect) {
        failed ??= { defect }
      }
    }
    this.untold = 0
    if (this.messages.length > mostPlaces) this.messages.length = 0
    this.isTelling = false
    // A party that fails keeps nothing from the others.
    if (failed !== undefined) throw failed.defect
  }
}

/** More places are given back after they were used. */
const mostPlaces = 1024
