import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("./tracked-promises.mjs", import.meta.url));
const afterCallOf = async (module: string, ...nodeArguments: string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, [...nodeArguments, program, module])).stdout.trim();
const ours = new URL("../dist/milvus-sdk.js", import.meta.url).href;

test("a call to Milvus does not make Node track every promise of the process", async () => {
  expect(await afterCallOf(ours)).toBe("not tracked");
});

test("nor where Node gives its scopes by a getter, as from version 22 on", async () => {
  const byGetter = `
    import hooks from "node:async_hooks";
    const { AsyncLocalStorage } = hooks;
    Object.defineProperty(hooks, "AsyncLocalStorage", { get: () => AsyncLocalStorage, configurable: true, enumerable: true });`;
  expect(await afterCallOf(ours, "--import", `data:text/javascript,${encodeURIComponent(byGetter)}`)).toBe("not tracked");
});

test.runIf(Number(process.versions.node.split(".")[0]) < 24)("as the SDK does by itself", async () => {
  expect(await afterCallOf("@zilliz/milvus2-sdk-node")).toBe("tracked");
});

test("what the SDK writes Parquet files with is not loaded", async () => {
  const { MilvusClient } = await import("../src/milvus-sdk.ts");
  expect(MilvusClient).toBeTypeOf("function");
  expect(Object.keys(createRequire(import.meta.url).cache).filter((file) => /parquetjs.lib|thrift|aws-sdk/.test(file))).toEqual([]);
});
