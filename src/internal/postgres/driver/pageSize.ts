/** @internal */

/** As many rows as `@effect/sql-pg` fetches at a time. */
const usual = 128
const most = 1024
/** Bytes of the rows of a page: as much as one read of a socket gives. */
const mostBytes = 65_536
/** Milliseconds that a page may take longer than the quickest one of its stream: that was the way there and back. */
const longest = 20
/** Milliseconds that a page may take in all, if the next one is to be larger. */
const longestInAll = 200

/**
 * How many rows of a stream are fetched at a time. What small pages cost is mostly the way to the server and back, in
 * which both sides rest. So the pages of a long stream grow while they are short and come about as soon as the quickest
 * one, and shrink again where they are not: their rows are not late, and take little memory as long as they are like those
 * before. A page of more than the usual rows has at most a quarter of those that have come, so a reader that stops early
 * has had few fetched in vain.
 *
 * @internal
 */
export class PageSize {
  rows: number
  private total = 0
  private quickest = Infinity

  constructor(private readonly least = usual) {
    this.rows = least
  }

  /** A page has come, of so many rows and bytes, so many milliseconds after it was asked for. */
  came(rows: number, bytes: number, took: number): void {
    this.total += rows
    this.quickest = Math.min(this.quickest, took)
    const longer = took - this.quickest
    if (bytes > mostBytes || longer > longest) this.rows = Math.max(this.least, this.rows / 2)
    else if (
      bytes <= mostBytes / 2 && longer <= longest / 2 && took <= longestInAll && this.total >= 8 * this.rows
    ) this.rows = Math.min(most, 2 * this.rows)
  }
}
