/** @internal */

/** The longest text that is read without native code, in bytes: for longer ones that takes no more time. */
const longest = 8

const characters = Array.from({ length: 128 }, (_, byte) => String.fromCharCode(byte))

/** How `pg` asks for each text. */
const utf8 = "utf-8"

/** Takes the place of `Buffer.prototype.toString`, and gives the same. */
function toString(this: Buffer, encoding?: BufferEncoding, start = 0, end = this.length): string {
  if (encoding !== utf8) return native.call(this, encoding, start, end)
  if (end - start <= longest) {
    let text = ""
    let at = start
    for (; at < end && this[at] < 128; at++) text += characters[this[at]]
    if (at === end) return text
  }
  // The default encoding: so it is not looked up.
  return native.call(this, undefined, start, end)
}

const native = Buffer.prototype.toString

/**
 * Has `pg` read the texts of messages in less time. It asks the bytes for each text, by `toString`. The way into native code
 * and back takes longer than a number or a short word: it was a quarter of all the time of a hundred rows. So short texts
 * of ASCII are read without it.
 *
 * @internal
 */
export const readShortTextsFast = (messages: Buffer): Buffer => {
  messages.toString = toString
  return messages
}
