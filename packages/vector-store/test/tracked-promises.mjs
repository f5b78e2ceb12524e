// Prints whether Node tracks promises once the SDK has made a call. Argument: the module to get MilvusClient from.
import { executionAsyncId } from "node:async_hooks";

const { MilvusClient } = await import(process.argv[2]);
const client = new MilvusClient({ address: "127.0.0.1:1", telemetry: { enabled: false }, logLevel: "error", maxRetries: 0, timeout: 100 });
client.connectPromise.catch(() => undefined);
await client.query({ collection_name: "none", filter: "", limit: 1 }).catch(() => undefined);
// Tracked, each goes on in a context of its own.
const [first, second] = [await Promise.resolve().then(executionAsyncId), await Promise.resolve().then(executionAsyncId)];
console.log(first === second ? "not tracked" : "tracked");
process.exit();
