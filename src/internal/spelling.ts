/** @internal */

/** If more than this part of the letters differs, it is another name, and no misspelling. */
const tolerance = 1 / 4

/** Fewer letters are part of too many names. */
const fewestLetters = 3

/**
 * The known names that an unknown name may mean: the nearest one, without regard to case and separators. If none is
 * near: the names that contain it or that it contains.
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

/** `undefined` without any name. @internal */
export const didYouMean = (names: ReadonlyArray<string>): string | undefined =>
  names.length === 0 ? undefined : `did you mean ${disjunction.format(names)}?`
