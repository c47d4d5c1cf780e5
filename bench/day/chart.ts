/** Draws how many requests come in a second, and below it the connections that each contender held. */
import { scaleLinear } from "d3-scale"
import { area, curveStepAfter } from "d3-shape"
import type { Sample } from "./server.js"

interface Held {
  readonly name: string
  readonly samples: ReadonlyArray<Sample>
  readonly mean: number
}

interface Strip {
  readonly title: string
  readonly colour: string
  readonly most: number
  readonly points: ReadonlyArray<readonly [millis: number, value: number]>
}

const width = 1000
const plot = { left: 60, right: 980 }
const strip = { height: 80, distance: 120, top: 60 }
const colours = { load: "#d97706", connections: "#1d4ed8", text: "#1f2937", faint: "#6b7280", rule: "#e5e7eb" }

/** A rate is that of so many milliseconds. */
const span = 250

const load = (plan: ReadonlyArray<number>): Strip => {
  const counts = new Array<number>(Math.ceil((plan[plan.length - 1] + 1) / span)).fill(0)
  for (const at of plan) counts[Math.floor(at / span)]++
  const points = counts.map((count, i) => [i * span, count * 1000 / span] as const)
  const most = Math.max(...points.map(([, rate]) => rate))
  return { title: "requests in a second", colour: colours.load, most, points }
}

const connections = (most: number) => ({ mean, name, samples }: Held): Strip => ({
  title: `connections of ${name}: ${mean.toFixed(1)} on average`,
  colour: colours.connections,
  most,
  points: samples.map(({ at, connections }) => [at, connections] as const)
})

export const svg = (plan: ReadonlyArray<number>, held: ReadonlyArray<Held>): string => {
  const most = Math.max(...held.flatMap(({ samples }) => samples.map(({ connections }) => connections)))
  const strips = [load(plan), ...held.map(connections(most))]
  const x = scaleLinear([0, plan[plan.length - 1] / 1000], [plot.left, plot.right])
  const bottom = strip.top + strips.length * strip.distance
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom}" width="${width}" height="${bottom}" ` +
    `font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="13" fill="${colours.text}">`,
    "<title>A day of load, and the connections held</title>",
    `<rect width="${width}" height="${bottom}" fill="white"/>`,
    ...strips.map((strip, i) => draw(strip, i, x)),
    ...x.ticks(12).map((n) =>
      `<text x="${x(n)}" y="${bottom - 20}" text-anchor="middle" fill="${colours.faint}">${n} s</text>`
    ),
    "</svg>\n"
  ].join("\n")
}

const draw = ({ colour, most, points, title }: Strip, i: number, x: (seconds: number) => number): string => {
  const top = strip.top + i * strip.distance
  const y = scaleLinear([0, most], [top + strip.height, top]).nice()
  const shape = area<readonly [number, number]>()
    .x(([millis]) => x(millis / 1000)).y0(y(0)).y1(([, value]) => y(value)).curve(curveStepAfter)
  return [
    `<text x="${plot.left}" y="${top - 10}">${title}</text>`,
    ...y.ticks(2).map((n) =>
      `<path d="M${plot.left},${y(n)}H${plot.right}" stroke="${colours.rule}"/>` +
      `<text x="${plot.left - 8}" y="${y(n) + 4}" text-anchor="end" fill="${colours.faint}">${n}</text>`
    ),
    `<path d="${shape(points)}" fill="${colour}"/>`
  ].join("\n")
}
