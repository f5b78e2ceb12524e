/**
 * Load over HTTP/1.1 on bare sockets, so that the generator costs little beside what it measures. Two forms:
 * - closed: so many connections, each sends its next request when it has the reply; tells how many replies per second there are at most.
 * - open: requests are due at times drawn beforehand (a Poisson process), whatever the replies do. A latency counts from when its request was due, also
 *   when it could not be sent because all connections were waiting: a server that stalls cannot make its own load go away (no coordinated omission).
 */
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { randomOf } from "../measure/statistics.mjs";

/** Time for the thread that wakes the generator to begin. */
const alarmStartMs = 200;

/** @returns {Buffer} */
export function requestOf({ path, headers = {}, body }) {
  const lines = Object.entries({
    host: "127.0.0.1",
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`);
}

/** One connection with at most one request on its way. */
class Connection {
  #socket;
  #received = Buffer.alloc(0);
  #length = -1;
  #headers = "";
  #onReply;

  static open(port) {
    return new Promise((resolve, reject) => {
      const connection = new Connection();
      connection.#socket = connect({ host: "127.0.0.1", port, noDelay: true }, () => resolve(connection));
      connection.#socket.on("error", reject);
      connection.#socket.on("data", (data) => connection.#take(data));
    });
  }

  /** @param {(status: number, headers: string, body: Buffer) => void} onReply */
  send(request, onReply) {
    this.#onReply = onReply;
    this.#socket.write(request);
  }

  close() {
    this.#socket.destroy();
  }

  #take(data) {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    if (this.#length < 0) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.#headers = this.#received.toString("latin1", 0, end);
      this.#length = end + 4 + Number(/content-length: (\d+)/i.exec(this.#headers)?.[1] ?? 0);
    }
    if (this.#received.length < this.#length) return;
    const headers = this.#headers;
    const body = this.#received.subarray(headers.length + 4, this.#length);
    this.#received = Buffer.alloc(0);
    this.#length = -1;
    this.#onReply(Number(headers.slice(9, 12)), headers, body);
  }
}

/** @returns {Promise<{ status: number, headers: string, body: Buffer }>} */
export async function once(port, request) {
  const connection = await Connection.open(port);
  const reply = await new Promise((resolve) => connection.send(request, (status, headers, body) => resolve({ status, headers, body })));
  connection.close();
  return reply;
}

/**
 * @param {{ port: number, requests: readonly Buffer[], connections: number, seconds: number }} load requests are sent in turn
 * @returns {Promise<{ perSecond: number, latenciesMs: number[], statuses: Record<string, number> }>}
 */
export async function closedLoop({ port, requests, connections, seconds }) {
  const open = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)));
  const latenciesMs = [];
  const statuses = {};
  let next = 0;
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1_000;
  await Promise.all(
    open.map(
      (connection) =>
        new Promise((done) => {
          const send = () => {
            const sentAt = performance.now();
            if (sentAt >= endAt) return done();
            connection.send(requests[next++ % requests.length], (status) => {
              latenciesMs.push(performance.now() - sentAt);
              statuses[status] = (statuses[status] ?? 0) + 1;
              send();
            });
          };
          send();
        }),
    ),
  );
  const elapsed = (performance.now() - startedAt) / 1_000;
  for (const connection of open) connection.close();
  return { perSecond: latenciesMs.length / elapsed, latenciesMs, statuses };
}

/**
 * @param {{ port: number, requests: readonly Buffer[], connections: number, seconds: number, perSecond: number, seed: number }} load
 * @returns {Promise<{ latenciesMs: Record<string, number[]>, withRetryAfter: number, lateMs: number[] }>} latencies by status, from when a request was
 * due; how late each was sent, which is the generator's own share of its latency unless all connections were waiting
 */
export async function openLoop({ port, requests, connections, seconds, perSecond, seed }) {
  const random = randomOf(seed);
  const dueMs = [];
  for (let at = 0; at < seconds * 1_000; at += (-Math.log(1 - random()) / perSecond) * 1_000) dueMs.push(at);
  const idle = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)));
  const all = [...idle];
  const latenciesMs = {};
  const lateMs = [];
  let withRetryAfter = 0;
  let sent = 0;
  let replied = 0;
  const startedAt = performance.now() + alarmStartMs;
  await new Promise((done) => {
    const sendDue = () => {
      const now = performance.now() - startedAt;
      while (sent < dueMs.length && dueMs[sent] <= now && idle.length > 0) {
        const due = dueMs[sent];
        const connection = idle.shift(); // in turns: a server closes one that was silent for long
        connection.send(requests[sent++ % requests.length], (status, headers) => {
          latenciesMs[status] ??= [];
          latenciesMs[status].push(performance.now() - startedAt - due);
          if (/^retry-after:/im.test(headers)) withRetryAfter++;
          idle.push(connection);
          if (++replied === dueMs.length) done();
          else sendDue();
        });
        lateMs.push(performance.now() - startedAt - due);
      }
    };
    const times = dueMs.map((due) => performance.timeOrigin + startedAt + due);
    new Worker(new URL("./alarm-thread.mjs", import.meta.url), { workerData: times }).on("message", sendDue);
  });
  for (const connection of all) connection.close();
  return { latenciesMs, withRetryAfter, lateMs };
}
