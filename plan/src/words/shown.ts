/** Text of the user in a message: whatever is in it, the message stays one short line. */

const mostShown = 100

/** In quotes, with control characters escaped, and cut where it is long. */
export const shown = (text: string): string =>
  // A terminal obeys DEL and the control characters after it too.
  JSON.stringify(text.slice(0, mostShown)).replaceAll(/[\u007f-\u009f]/g, escaped) +
  (text.length > mostShown ? "..." : "")

const escaped = (char: string): string => `\\u00${char.charCodeAt(0).toString(16)}`
