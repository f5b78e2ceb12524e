import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const afterCallOf = async (module: string): Promise<string> =>
  (await run(process.execPath, [fileOf("tracked-promises.mjs"), module])).stdout.trim();

test("a call to Milvus does not make Node track every promise of the process", async () => {
  expect(await afterCallOf(fileOf("../dist/milvus-sdk.js"))).toBe("not tracked");
});

test.runIf(Number(process.versions.node.split(".")[0]) < 24)("as the SDK does by itself", async () => {
  expect(await afterCallOf("@zilliz/milvus2-sdk-node")).toBe("tracked");
});
