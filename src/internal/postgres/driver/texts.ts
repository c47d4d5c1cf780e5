/** @internal */

const native = Buffer.prototype.toString

/** How `pg` names the encoding. */
const utf8 = "utf-8"

/** The longest text that is read without native code, in bytes. From there on native code is as fast. */
const longest = 8

const characters = Array.from({ length: 128 }, (_, byte) => String.fromCharCode(byte))

/** Gives what `Buffer.prototype.toString` gives. Whatever is not a short text of ASCII is left to it. */
function toString(this: Buffer, encoding?: BufferEncoding, start = 0, end = this.length): string {
  if (encoding !== utf8) return native.call(this, encoding, start, end)
  if (end - start <= longest) {
    let text = ""
    let at = start
    for (; at < end && this[at] < 128; at++) text += characters[this[at]]
    // Else a byte is not ASCII, or the bounds are strange.
    if (at === end) return text
  }
  // The default encoding: so it is not looked up.
  return native.call(this, undefined, start, end)
}

/**
 * The same bytes, from which `pg` reads texts in less time. It calls `toString` on the buffer for each text. The way into
 * native code and back takes longer than to read a number or a short word: it was a quarter of all the time of a hundred
 * rows.
 *
 * `toString` is on this buffer alone: parts that `pg` takes of it, as the data of a COPY, are as ever.
 *
 * @internal
 */
export const withFastTexts = (messages: Buffer): Buffer => {
  const view = messages.subarray()
  view.toString = toString
  return view
}
