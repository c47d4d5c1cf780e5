/** Makes of what a server should send what it should not. */
import * as Wire from "../../../src/internal/testing/messages.js"
import type { Chance } from "../storm/chance.js"

const word = (chance: Chance): string =>
  chance.pick([
    "",
    "a",
    "__proto__",
    "constructor",
    "toString",
    "in_hot_standby",
    "tok7",
    "x".repeat(300),
    "é\u{1F600}",
    "SELECT 1"
  ])

const number = (chance: Chance): number =>
  chance.pick([0, 1, -1, 4, 5, 8, 255, 32767, -32768, 65535, 0x7fffffff, -0x80000000, chance.integer(0, 2 ** 31 - 1)])

const bytes = (chance: Chance, most: number): Buffer =>
  Buffer.from(chance.many(0, most, () => chance.is(0.3) ? 0 : chance.integer(0, 255)))

/** Each kind that a server may send, as it may be, or nearly so. */
const makers: ReadonlyArray<(chance: Chance) => Buffer> = [
  (chance) => Wire.authentication(chance.pick([0, 2, 3, 6, 7, 8, 9, 11, 12, number(chance)]), bytes(chance, 8)),
  () => Wire.authenticationOk,
  () => Wire.authentication(3),
  (chance) => Wire.authentication(5, bytes(chance, 5)),
  (chance) =>
    Wire.authentication(10, ...chance.many(0, 4, () => Wire.text(chance.pick(["SCRAM-SHA-256", word(chance)])))),
  (chance) => Wire.authentication(10, Wire.text("SCRAM-SHA-256"), Buffer.from([0, ...bytes(chance, 1)])),
  (chance) => Wire.authentication(11, Buffer.from(chance.pick(["r=abc,s=YWJj,i=4096", "r=,s=,i=0", word(chance)]))),
  (chance) => Wire.authentication(12, Buffer.from(chance.pick(["v=YWJj", "e=no", word(chance)]))),
  (chance) => Wire.parameter(word(chance), word(chance)),
  (chance) => Wire.keyData(number(chance), number(chance)),
  (chance) => Wire.message("K", bytes(chance, 300)),
  (chance) => Wire.ready(chance.pick(["I", "T", "E", "", "X", "II"])),
  (chance) => Wire.rowDescription(chance.many(0, 5, () => word(chance))),
  () => Wire.rowDescription(Array.from({ length: 1600 }, (_, i) => `c${i}`)),
  (chance) => Wire.dataRow(chance.many(0, 5, () => chance.is(0.2) ? null : word(chance))),
  (chance) => Wire.message("D", Wire.int16(number(chance)), Wire.int32(number(chance)), bytes(chance, 20)),
  (chance) => Wire.message("T", Wire.int16(number(chance)), bytes(chance, 60)),
  (chance) => Wire.complete(chance.pick(["SELECT 1", "INSERT 0 1", "COMMIT", "ROLLBACK", "DISCARD ALL", word(chance)])),
  (chance) =>
    Wire.error(
      chance.pick(["42601", "57P01", "57014", "08P01", word(chance)]),
      word(chance),
      chance.pick(["ERROR", "FATAL", word(chance)])
    ),
  (chance) => Wire.message("E", bytes(chance, 20)),
  () => Wire.message("E", Buffer.from("SERROR\0")),
  (chance) => Wire.message("N", Buffer.from(chance.pick(["SNOTICE\0Mno end\0", "S", "Sx\0M"]))),
  (chance) => Wire.notice(word(chance)),
  (chance) => Wire.message("E", Buffer.from(chance.pick(["", "\0", "M\0\0", "Sx\0Cx\0"]))),
  (chance) => Wire.notification(word(chance), word(chance)),
  (chance) => Wire.message("A", bytes(chance, 12)),
  (chance) => Wire.message("t", Wire.int16(number(chance)), bytes(chance, 12)),
  (chance) => Wire.message(chance.pick(["G", "H", "W"]), bytes(chance, 8)),
  (chance) => Wire.message(chance.pick(["G", "H", "W"]), Buffer.from([0, 0, 1, 0, 0])),
  (chance) => Wire.message("d", bytes(chance, 40)),
  (chance) => Wire.message("v", Wire.int32(196610), Wire.int32(0), bytes(chance, 4)),
  (chance) => Wire.message(chance.pick(["1", "2", "3", "n", "s", "I", "c"])),
  (chance) => Wire.message(String.fromCharCode(chance.integer(0, 255)), bytes(chance, 30)),
  (chance) => Buffer.concat(Array<Buffer>(300).fill(Wire.message(chance.pick(["I", "s", "n", "1", "3", "c"])))),
  () => Buffer.concat(Array<Buffer>(300).fill(Wire.message("G", Buffer.from([0, 0, 0])))),
  // Nothing of it ever comes.
  (chance) => Buffer.concat([Buffer.from(chance.pick([..."RSKZTDCENAnIst123GHWdcv"])), Wire.int32(number(chance))]),
  (chance) => bytes(chance, 30),
  () => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")
]

const make = (chance: Chance): Buffer => chance.pick(makers)(chance)

/** Changes the inside of a message. */
const damages: ReadonlyArray<(message: Buffer, chance: Chance) => Buffer> = [
  // It lacks its end, and its length says so.
  (message, chance) => Wire.message(message.toString("latin1", 0, 1), message.subarray(5, -chance.integer(1, 4))),
  // It lacks its end, and its length does not say so.
  (message, chance) => message.subarray(0, -chance.integer(1, 4)),
  (message) =>
    Wire.message(
      message.toString("latin1", 0, 1),
      Buffer.from(message.subarray(5).map((byte) => byte === 0 ? 65 : byte))
    ),
  (message, chance) =>
    patched(message, 1, Wire.int32(chance.is(0.5) ? message.length - 1 + chance.integer(-4, 4) : number(chance))),
  (message, chance) => patched(message, 5, Wire.int16(number(chance))),
  (message, chance) => patched(message, 7, Wire.int32(number(chance))),
  (message, chance) => patched(message, chance.integer(0, message.length - 1), Buffer.from([chance.integer(0, 255)])),
  (message, chance) => Wire.message(message.toString("latin1", 0, 1), message.subarray(5), bytes(chance, 6)),
  (message, chance) => Wire.message(message.toString("latin1", 0, 1), bytes(chance, message.length))
]

const patched = (message: Buffer, at: number, patch: Buffer): Buffer => {
  const copy = Buffer.from(message)
  patch.copy(copy, at)
  return copy
}

const changes: ReadonlyArray<(messages: Array<Buffer>, at: number, chance: Chance) => void> = [
  (messages, at, chance) => messages.splice(at, 0, make(chance)),
  (messages, at, chance) => messages.splice(at, 0, ...chance.many(1, 5, () => make(chance))),
  (messages, at, chance) => messages.splice(at, 1, make(chance)),
  (messages, at) => messages.splice(at, 1),
  (messages, at) => messages.splice(at, 0, ...messages.slice(at, at + 1)),
  (messages) => messages.splice(0, 0, ...messages.slice(0, 50)),
  (messages) => messages.reverse(),
  (messages, at) => messages.splice(at),
  ...damages.map((damage) => (messages: Array<Buffer>, at: number, chance: Chance) => {
    if (at < messages.length && messages[at].length >= 5) messages[at] = damage(messages[at], chance)
  })
]

export const mutate = (messages: ReadonlyArray<Buffer>, chance: Chance): Array<Buffer> => {
  const mutant = [...messages]
  for (let left = chance.integer(1, 3); left > 0; left--) {
    chance.pick(changes)(mutant, chance.integer(0, mutant.length), chance)
  }
  return mutant
}

/** At the places of messages or anywhere. */
export const cut = (messages: ReadonlyArray<Buffer>, chance: Chance): Array<Buffer> => {
  if (chance.is(0.3)) return [...messages]
  const all = Buffer.concat(messages)
  if (chance.is(0.4)) return [all]
  const at = chance.many(1, 5, () => chance.integer(0, all.length)).sort((a, b) => a - b)
  return [0, ...at].map((from, i) => all.subarray(from, at[i] ?? all.length))
}
