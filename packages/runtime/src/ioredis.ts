import { createRequire } from "node:module";

/**
 * ioredis by `require`: to `import` a CommonJS package, Node first reads all of its files in search of the names that they export, which takes longer than loading
 * them.
 */
export const { Redis } = createRequire(import.meta.url)("ioredis") as typeof import("ioredis");
export type Redis = InstanceType<typeof Redis>;
