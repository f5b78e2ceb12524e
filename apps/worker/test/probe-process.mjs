/** What a hostile document might make a library try, from inside a parser process. */
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import dns from "node:dns/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { connect } from "node:net";
import { serveChildRequests } from "@millrace/runtime/child";
import { denyNetwork } from "../dist/parse/no-network.js";

if (process.argv[2] === "deny-network") denyNetwork();

const attempts = {
  fetch: async ({ port }) => (await fetch(`http://127.0.0.1:${port}/`)).status,
  http: ({ port }) =>
    new Promise((resolve, reject) => get(`http://127.0.0.1:${port}/`, (reply) => resolve(reply.statusCode)).on("error", reject)),
  tcp: ({ port }) => new Promise((resolve, reject) => connect(port, "127.0.0.1", () => resolve(true)).on("error", reject)),
  dns: () => dns.lookup("localhost"),
  udp: ({ port }) =>
    new Promise((resolve, reject) => createSocket("udp4").send("x", port, "127.0.0.1", (error) => (error ? reject(error) : resolve(true)))),
  read: ({ path }) => readFileSync(path, "utf8"),
  write: ({ path }) => writeFileSync(path, "changed"),
  run: () => execFileSync("/bin/true").length,
  /** Untouched, so that it is in no resident memory: looking from outside would not see it. */
  memory: ({ bytes }) => Buffer.alloc(bytes).length,
  /** Touched, and then nothing is done any more that could fail. */
  fill: ({ bytes }) => {
    const filled = Buffer.alloc(bytes, 1);
    return new Promise(() => setInterval(() => filled.length, 1_000));
  },
  work: ({ ms }) => new Promise((done) => setTimeout(done, ms)),
  hang: () => new Promise(() => undefined),
};

serveChildRequests(async (request, input) => {
  if (request.attempt === "input") return input.length;
  return attempts[request.attempt](request);
});
