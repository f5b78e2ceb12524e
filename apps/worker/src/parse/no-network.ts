import dgram from "node:dgram";
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

/**
 * Refuses every way onto the network that Node offers to libraries: HTTP, TLS and fetch all end in these. Where the kernel gives the process a
 * network namespace of its own there is nothing to reach either; this holds where it does not.
 */
export function denyNetwork(): void {
  const refuse = (): never => {
    throw new Error("no network in a parser");
  };
  Object.assign(net.Socket.prototype, { connect: refuse });
  Object.assign(net.Server.prototype, { listen: refuse });
  Object.assign(dgram.Socket.prototype, { bind: refuse, connect: refuse, send: refuse });
  for (const names of [dns, dns.promises, dns.Resolver.prototype, dns.promises.Resolver.prototype] as object[]) {
    for (const name of Object.getOwnPropertyNames(names)) {
      if (/^(?:lookup|resolve|reverse)/.test(name)) Object.assign(names, { [name]: refuse });
    }
  }
  globalThis.fetch = async () => refuse();
  syncBuiltinESMExports();
}
