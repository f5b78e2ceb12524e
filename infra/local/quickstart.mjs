/** `npm run quickstart`: the main job on real parts. Sets up, ingests this project's own documents and a sample PDF, and searches them. */
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { home, orExplain, setUp } from "./setup.mjs";

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));
const command = join(root, "apps", "ingest", "bin", "millrace.js");
const project = "quickstart";

await orExplain(() => setUp());

const { makeSamplePdf } = await import("./make_sample_pdf.mjs");
const sample = join(home, "quickstart", "how-millrace-keeps-its-promises.pdf");
await makeSamplePdf(sample);

millrace("ingest", join(root, "README.md"), join(root, "ARCHITECTURE.md"), join(root, "docs"), sample, "--project", project);
millrace("search", "What happens when a worker is killed while it writes?", "--project", project, "--top-k", "3");
millrace("search", "Which Redis instance may evict keys, and why are there two?", "--project", project, "--top-k", "3");
millrace("search", "What happens when a worker is killed while it writes?", "--project", project, "--top-k", "3");

console.log(`
The last search was answered from the cache: compare its time with the first one's.

Next:
  npx millrace ingest <your folder> --project mine     index your own documents
  npx millrace search "<your question>" --project mine
  npx millrace status                                  what runs, and where (dashboard, query service)
  npx millrace down                                    stop everything; your data stay in ${home}`);

function millrace(...args) {
  console.log(
    `\n$ npx millrace ${args.map((arg) => (arg.includes(" ") ? `"${arg}"` : arg.startsWith(root) ? arg.slice(root.length + 1) : arg)).join(" ")}`,
  );
  const { status } = spawnSync(process.execPath, [command, ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
