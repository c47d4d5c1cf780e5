/** @internal */
import type { Target } from "../config/target.js"

/**
 * Where the statements of a pool go, in the names of OpenTelemetry. If there are several hosts, the host of a statement is
 * not known yet when its span begins.
 *
 * @internal
 */
export const attributesOf = (
  { config, hosts }: Pick<Target, "config" | "hosts">
): ReadonlyArray<readonly [name: string, value: string | number]> => {
  const ports = new Set(hosts.list.map(({ port }) => port))
  return [
    ["db.system.name", "postgresql"],
    ["db.namespace", config.database ?? config.username ?? "postgres"],
    ["server.address", hosts.list.map(({ name }) => name).join(",")],
    ...(ports.size === 1 ? [["server.port", hosts.list[0].port] as const] : [])
  ]
}
