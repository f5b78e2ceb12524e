/**
 * `npm run bench -- <name> [options]`: runs `bench/<name>.mjs`, a module that exports `summary` (one line) and `run(args)`.
 * A new benchmark is a new file; nothing here knows their names.
 */
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

// So that what a benchmark has started is ended on "exit".
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

const [name, ...args] = process.argv.slice(2);
const entry = new URL(`./${name}.mjs`, import.meta.url);
if (name === undefined || !/^[a-z][a-z0-9-]*$/.test(name) || name === "main" || !existsSync(entry)) {
  console.error("usage: npm run bench -- <name> [--quick] [options]\n");
  for (const file of readdirSync(fileURLToPath(new URL(".", import.meta.url))).sort()) {
    if (!file.endsWith(".mjs") || file === "main.mjs") continue;
    console.error(`  ${file.slice(0, -4).padEnd(10)} ${(await import(`./${file}`)).summary ?? ""}`);
  }
  process.exitCode = 2;
} else {
  const { run } = await import(entry.href);
  await run(args);
}
