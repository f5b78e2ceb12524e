export { claimRunState, type RunState, readRunState, removeRunState, writeRunState } from "./run-state.ts";
