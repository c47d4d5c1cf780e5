/** @internal */

/** Names differ in more than their spelling where they differ in more than this part of their letters. */
const tolerance = 1 / 4

/** Less is in too many names. */
const fewestLetters = 3

/**
 * What a name that is none of the known ones may have meant: the nearest one, whatever its case and its separators; else
 * those of which it is a part, or that are a part of it.
 *
 * @internal
 */
export const meantBy = (name: string, known: Iterable<string>): ReadonlyArray<string> => {
  const written = lettersOf(name)
  if (written.length < fewestLetters) return []
  const candidates = [...known].map((candidate) => {
    const letters = lettersOf(candidate)
    return { candidate, letters, distance: distance(written, letters) }
  })
  const nearest = Math.min(...candidates.map(({ distance }) => distance))
  const isMeant: (of: typeof candidates[number]) => boolean = nearest <= Math.ceil(written.length * tolerance)
    ? ({ distance }) => distance === nearest
    : ({ letters }) => letters.includes(written) || written.includes(letters)
  return candidates.filter(isMeant).map(({ candidate }) => candidate)
}

const lettersOf = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, "")

/** How many letters have to be put in, left out or changed (Levenshtein). */
const distance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const letter of from) {
    const next = [row[0] + 1]
    for (let i = 0; i < to.length; i++) {
      next.push(Math.min(row[i] + (letter === to[i] ? 0 : 1), row[i + 1] + 1, next[i] + 1))
    }
    row = next
  }
  return row[to.length]
}

const disjunction = new Intl.ListFormat("en", { type: "disjunction" })

/** `undefined`: nothing comes near. @internal */
export const didYouMean = (names: ReadonlyArray<string>): string | undefined =>
  names.length === 0 ? undefined : `did you mean ${disjunction.format(names)}?`
