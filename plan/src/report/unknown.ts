/** What the planner does not know of the load in question, so that nobody takes its figures for more than they are. */
import type { Plan } from "../plan.js"

export const unknown = ({ asked: { fleet, from, outages }, input: { source } }: Plan): ReadonlyArray<string> => [
  "Locks: statements that wait for one another hold their connections for longer, and most so in a rush.",
  fleet.serverCores === undefined
    ? "The server: it is taken to be as fast with a hundred statements at once as with one. Say --server-cores."
    : "The server beside its cores: disk, cache and memory are shared too, and then holds get longer under load.",
  ...fleet.serverCores !== undefined && from._tag === "Recording"
    ? ["How much of the recorded holds was the server's slowness already: it counts twice."]
    : [],
  ...fleet.serverCores !== undefined && fleet.serverPart === 1
    ? [
      "What the program does while it holds a connection: all of a hold is taken to be the server's. Say --server-part."
    ]
    : [],
  ...from._tag === "Log"
    ? ["How many connections a request of the log takes: it is taken to hold one, from its beginning to its end."]
    : [],
  ...from._tag === "Rate"
    ? ["Rushes: requests are taken to come independently of each other, at one rate. Real ones come in bursts."]
    : ["Other days: this is what came in that time, and no more."],
  ...source._tag === "Recorded" ? [] : ["Whether long holds come together: each is drawn by itself."],
  ...fleet.instances > 1 && fleet.serverCores !== undefined
    ? ["When the other instances have their rush: they are taken to use what they use on average."]
    : [],
  ...outages.length === 0 ? ["Outages: say --outage to see one."] : [],
  "What callers do who were refused, or have waited for long: here nobody asks again, or goes away.",
  "Whether your process has the time: a busy event loop makes all waits longer."
]
