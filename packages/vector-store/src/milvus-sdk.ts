import asyncHooks from "node:async_hooks";
import { createRequire, Module } from "node:module";

/**
 * The SDK as it is, but for two things. Around every call it opens an asynchronous scope for its telemetry, which is off. The first such scope makes Node before
 * version 24 track every promise of the process from then on, which costs a cached search a sixth of its time. So the SDK gets scopes that hold nothing,
 * and who comes after it the real ones; it is loaded in one go, so that nobody comes between. Nothing else may import its values.
 *
 * And what it writes Parquet files with for bulk imports, clients of S3 and Thrift among it, is not loaded: a hundred files, 8 MB of memory and a quarter of the time to
 * load.
 */
class NoScope {
  run<R, A extends unknown[]>(_: unknown, callback: (...args: A) => R, ...args: A): R {
    return callback(...args);
  }

  getStore(): undefined {
    return undefined;
  }
}

// From Node 22 on it is a getter, which cannot be assigned to.
const real = Object.getOwnPropertyDescriptor(asyncHooks, "AsyncLocalStorage") as PropertyDescriptor;
Object.defineProperty(asyncHooks, "AsyncLocalStorage", { value: NoScope, configurable: true, enumerable: true });
const require = createRequire(import.meta.url);
const parquet = createRequire(require.resolve("@zilliz/milvus2-sdk-node")).resolve("@shanghaikid/parquetjs");
require.cache[parquet] ??= Object.assign(new Module(parquet), { loaded: true });
const sdk = require("@zilliz/milvus2-sdk-node") as typeof import("@zilliz/milvus2-sdk-node");
Object.defineProperty(asyncHooks, "AsyncLocalStorage", real);

export const { ConsistencyLevelEnum, DataType, FunctionType, LoadState, MilvusClient, promisify } = sdk;
export type MilvusClient = InstanceType<typeof sdk.MilvusClient>;
