/** @internal */

/** As many rows as `@effect/sql-pg` fetches at a time. */
const usual = 128
const most = 1024
/** Bytes of the rows of a page: as much as one read of a socket gives. */
const mostBytes = 65_536
/** Milliseconds from the request for a page to its end. */
const longest = 20

/**
 * How many rows of a stream are fetched at a time. What small pages cost is mostly the way to the server and back, in
 * which both sides rest. So the pages of a long stream grow while they are short and come at once, and shrink again where
 * they are not: a page delays none of its rows for long, and takes little memory. A page has at most a quarter of the rows
 * that have come before it, so a reader that stops early has had few fetched in vain.
 *
 * @internal
 */
export class PageSize {
  rows: number
  private total = 0

  constructor(private readonly least = usual) {
    this.rows = least
  }

  /** A page has come, of so many rows and bytes, so many milliseconds after it was asked for. */
  came(rows: number, bytes: number, took: number): void {
    this.total += rows
    if (bytes > mostBytes || took > longest) this.rows = Math.max(this.least, this.rows / 2)
    else if (bytes <= mostBytes / 2 && took <= longest / 2 && this.total >= 8 * this.rows) {
      this.rows = Math.min(most, 2 * this.rows)
    }
  }
}
