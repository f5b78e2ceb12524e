import { readFileSync, writeFileSync } from "node:fs";

/**
 * Lowers the priority of this process's session. Linux schedules each session as a group of its own (autogroup), and niceness counts among the processes
 * of one session only: without this, a worker takes as much of the processor as the query service and the vector store together, however nice it is.
 *
 * Does nothing where it is not the first process of its session, which then is somebody else's, nor where the system has no such groups.
 * @param niceness 0 to 19
 */
export function lowerSessionPriority(niceness: number): void {
  try {
    // Fields after the name, which is in parentheses: state, parent, process group, session.
    const [, , , session] = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    if (Number(session) === process.pid) writeFileSync("/proc/self/autogroup", String(niceness));
  } catch {
    // Only courtesy is at stake.
  }
}
