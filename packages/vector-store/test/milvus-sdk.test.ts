import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("./tracked-promises.mjs", import.meta.url));
const afterCallOf = async (module: string): Promise<string> =>
  (await promisify(execFile)(process.execPath, [program, module])).stdout.trim();

test("a call to Milvus does not make Node track every promise of the process", async () => {
  expect(await afterCallOf(new URL("../dist/milvus-sdk.js", import.meta.url).href)).toBe("not tracked");
});

test.runIf(Number(process.versions.node.split(".")[0]) < 24)("as the SDK does by itself", async () => {
  expect(await afterCallOf("@zilliz/milvus2-sdk-node")).toBe("tracked");
});

test("what the SDK writes Parquet files with is not loaded", async () => {
  const { MilvusClient } = await import("../src/milvus-sdk.ts");
  expect(MilvusClient).toBeTypeOf("function");
  expect(Object.keys(createRequire(import.meta.url).cache).filter((file) => /parquetjs.lib|thrift|aws-sdk/.test(file))).toEqual([]);
});
