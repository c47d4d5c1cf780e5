/** @internal */
import Cursor from "pg-cursor"

interface Base {
  handleDataRow(message: unknown): void
}

/** `pg-cursor`, where it would throw out of the socket's event: that would end the process. @internal */
export class SafeCursor extends Cursor {
  /** A row that a type parser of the user's refused. */
  badRow: unknown = undefined

  handleDataRow(message: unknown): void {
    try {
      ;(Cursor.prototype as unknown as Base).handleDataRow.call(this, message)
    } catch (error) {
      this.badRow ??= error
    }
  }

  handleCopyInResponse(wire: { readonly sendCopyFail: (why: string) => void }): void {
    wire.sendCopyFail("a stream can't be the source of a COPY")
  }

  handleCopyData(): void {}
}
