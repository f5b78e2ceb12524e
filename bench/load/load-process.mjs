// Runs one load in a process of its own, so that generator and server share no event loop. Answers each message with its result.
import { closedLoop, openLoop } from "./http-load.mjs";

process.on("message", async ({ kind, ...load }) => {
  const requests = load.requests.map((each) => Buffer.from(each, "base64"));
  process.send(await (kind === "open" ? openLoop : closedLoop)({ ...load, requests }));
});
