// What a cached search is measured against: node:http, the request's body read, one GET from Redis, its bytes as the reply.
// Arguments: Redis URL, key. Tells its port.
import { createServer } from "node:http";
import { Redis } from "ioredis";

const [url, key] = process.argv.slice(2);
const redis = new Redis(url);
const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    JSON.parse(Buffer.concat(parts).toString());
    const body = await redis.getBuffer(key);
    response.writeHead(200, { "content-type": "application/json", "content-length": body.byteLength });
    response.end(body);
  });
});
await redis.ping();
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("disconnect", () => process.exit(0));
