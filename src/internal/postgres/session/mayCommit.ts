/** @internal */

/**
 * Whether a text may end the transaction that it is sent in, or leave that to another session.
 *
 * @internal
 */
export const mayCommit = (text: string): boolean => ending.test(text) || (isLong.test(text) && anywhere.test(text))

const ending = /^\s*(commit|end|prepare)\b/i
const anywhere = /\b(commit|end|prepare)\b/i
/** It has comments, or several statements. */
const isLong = /;\s*\S|--|\/\*/
