import { lstat, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import ignore, { type Ignore } from "ignore";

const fileNames = [".gitignore", ".millraceignore"];

interface Level {
  /** Folder that the patterns are relative to, itself relative to the root. */
  readonly base: string;
  readonly patterns: Ignore;
}

/** The ignore files from the root down to a folder. As in git, a deeper file overrules those above it; the command line overrules all. */
export class IgnoreRules {
  readonly #commandLine: Level;
  readonly #levels: readonly Level[];

  constructor(commandLine: readonly string[] | Level, levels: readonly Level[] = []) {
    this.#commandLine = "patterns" in commandLine ? commandLine : { base: "", patterns: ignore().add(commandLine) };
    this.#levels = levels;
  }

  /** The rules inside a folder: these and its own. */
  async enter(folder: string, base: string): Promise<IgnoreRules> {
    const texts = await Promise.all(fileNames.map((name) => textOf(join(folder, name))));
    if (texts.every((text) => text === "")) return this;
    return new IgnoreRules(this.#commandLine, [...this.#levels, { base, patterns: ignore().add(texts.join("\n")) }]);
  }

  /** `path` is relative to the root. */
  ignores(path: string, isFolder: boolean): boolean {
    let ignored = false;
    for (const { base, patterns } of [...this.#levels, this.#commandLine]) {
      const below = relative(base, path).split(sep).join("/");
      const verdict = patterns.test(isFolder ? `${below}/` : below);
      if (verdict.ignored) ignored = true;
      else if (verdict.unignored) ignored = false;
    }
    return ignored;
  }
}

/** Empty where there is no such file. Never a pipe, which could be waited on for ever. */
async function textOf(path: string): Promise<string> {
  try {
    return (await lstat(path)).isFile() ? await readFile(path, "utf8") : "";
  } catch {
    return "";
  }
}
