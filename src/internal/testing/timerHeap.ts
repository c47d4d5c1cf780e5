/** @internal */

/** What rings at a time. @internal */
export interface Timer {
  readonly at: number
  /** Of those of the same time, the one that was set first rings first. */
  readonly id: number
  readonly ring: () => void
  /** Its place in the heap; -1 where it is in none. */
  place: number
}

const isBefore = (one: Timer, other: Timer): boolean => one.at < other.at || one.at === other.at && one.id < other.id

/**
 * Timers, the next one first: a binary heap. A timer knows its place, so one that is called off leaves at once.
 *
 * @internal
 */
export class TimerHeap {
  private readonly heap: Array<Timer> = []
  private nextId = 0

  get size(): number {
    return this.heap.length
  }

  get first(): Timer | undefined {
    return this.heap[0]
  }

  add(at: number, ring: () => void): Timer {
    const timer: Timer = { at, id: this.nextId++, ring, place: this.heap.length }
    this.heap.push(timer)
    this.rise(timer)
    return timer
  }

  /** Does nothing where it has been removed before. */
  remove(timer: Timer): void {
    const { place } = timer
    if (place === -1) return
    timer.place = -1
    const last = this.heap.pop()!
    if (last === timer) return
    this.put(last, place)
    this.rise(last)
    this.sink(last)
  }

  private put(timer: Timer, place: number): void {
    this.heap[place] = timer
    timer.place = place
  }

  private rise(timer: Timer): void {
    let { place } = timer
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = this.heap[above]!
      if (!isBefore(timer, parent)) break
      this.put(parent, place)
      place = above
    }
    this.put(timer, place)
  }

  private sink(timer: Timer): void {
    const { heap } = this
    let { place } = timer
    for (let below = 2 * place + 1; below < heap.length; below = 2 * place + 1) {
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++
      const child = heap[below]!
      if (!isBefore(child, timer)) break
      this.put(child, place)
      place = below
    }
    this.put(timer, place)
  }
}
