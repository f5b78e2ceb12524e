export { milvusLiteCommand } from "./binaries.ts";
export { claimRunState, type RunState, readRunState, removeRunState, writeRunState } from "./run-state.ts";
export { EmbeddedStack, type StackAddresses } from "./stack.ts";
