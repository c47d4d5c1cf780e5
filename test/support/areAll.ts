/**
 * Whether all of a list are as they should be, and there is at least one: `every` is true of a list that has stayed
 * empty, and a test that uses it could not fail.
 */
export const areAll = <A>(list: Iterable<A>, isRight: (one: A) => boolean): boolean => {
  const all = Array.from(list)
  return all.length > 0 && all.every(isRight)
}
