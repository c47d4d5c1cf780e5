/** How many of the callers have to wait, by Erlang's formula: of a queue without end, and `busy` servers on average. */
export const erlangC = (servers: number, busy: number): number => {
  let term = 1
  let sum = 1
  for (let n = 1; n < servers; n++) sum += term *= busy / n
  const all = term * busy / servers / (1 - busy / servers)
  return all / (sum + all)
}
