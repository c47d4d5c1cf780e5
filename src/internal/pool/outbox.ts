/** @internal */

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
  private messages: Array<() => void> = []

  /** Runs a critical section to its end, and then tells what has come up in it. */
  section<A>(body: () => A): A {
    this.depth++
    try {
      return body()
    } finally {
      this.depth--
      this.tellAll()
    }
  }

  /** Tells this after the section, or now where none runs. */
  post(message: () => void): void {
    this.messages.push(message)
    this.tellAll()
  }

  private tellAll(): void {
    if (this.depth > 0 || this.isTelling || this.messages.length === 0) return
    this.isTelling = true
    const defects: Array<unknown> = []
    while (this.messages.length > 0) {
      const { messages } = this
      this.messages = []
      for (const message of messages) {
        try {
          message()
        } catch (defect) {
          defects.push(defect)
        }
      }
    }
    this.isTelling = false
    // A party that fails keeps nothing from the others.
    if (defects.length > 0) throw defects[0]
  }
}
