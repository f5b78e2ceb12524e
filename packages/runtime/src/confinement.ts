/**
 * Takes from a child process what its work does not need. The parts that need the kernel are used where it has them; none of them is the only guard.
 *
 * - Memory: RLIMIT_DATA, which counts what is writable and private. It acts in the kernel at the moment of an allocation, where looking every 100 ms
 *   would let 150 MB pass. Not RLIMIT_AS: V8 reserves gigabytes of addresses that it never touches. Not a cgroup: that needs rights which a
 *   container or a plain user rarely has.
 * - Files: Node's permission model. The program's own folders can be read, nothing else, and nothing can be written.
 * - Processes, native add-ons: none, by the same model.
 * - Network: an empty network namespace, where users may make one.
 */
export interface Confinement {
  /** Absolute folders, with the program itself in them. */
  readonly readable: readonly string[];
}

/** What a Node process has writable before it does anything: its threads' stacks, its young generation, and from version 24 on 512 MiB that V8 sets aside and may never touch. */
const baselineBytes = (Number(process.versions.node.split(".")[0]) < 24 ? 128 : 640) * 1_024 * 1_024;

/** `exec` at every turn: the process that was started is the one that is watched, signalled and killed. */
const script = `
ulimit -c 0
ulimit -d "$0" 2>/dev/null
unshare -rn true 2>/dev/null && exec unshare -rn -- "$@"
exec "$@"
`;

/** How to start Node confined, in terms of `fork`. `nodeArguments` go before the module. */
export function confinedCommand(
  nodeArguments: readonly string[],
  { readable }: Confinement,
  memoryBytesMax: number | undefined,
): { execPath: string; execArgv: string[] } {
  const permission = process.allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission";
  const kibibytes = memoryBytesMax === undefined ? "unlimited" : String(Math.ceil((memoryBytesMax + baselineBytes) / 1_024));
  const reads = readable.map((folder) => `--allow-fs-read=${folder}`);
  return {
    execPath: "/bin/sh",
    execArgv: ["-c", script, kibibytes, process.execPath, permission, "--no-warnings", ...reads, ...nodeArguments],
  };
}
