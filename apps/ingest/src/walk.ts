import { type Dirent, lstatSync } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { InvalidInputError, knownExtensions, limits, mediaTypeOf } from "@millrace/core";
import { IgnoreRules } from "./ignore-rules.ts";
import { tooLargeMessage } from "./stored-file.ts";

/**
 * Finds the documents under the paths that were named, without reading any. What is no document is not passed over in silence: it is
 * `skipped` with a reason when a folder happens to contain it, and `failed` when it was asked for or should have been readable.
 */
export interface FoundFile {
  /** The name of the document: the path below the root, `/` between its parts, NFC. */
  readonly source: string;
  /** Absolute path with links resolved. */
  readonly origin: string;
  readonly bytes: number;
}

export interface SkippedFile {
  readonly source: string;
  readonly reason:
    | "unsupported_type"
    | "symlink_outside_root"
    | "symlink_broken"
    | "symlink_loop"
    | "symlink_nested"
    | "not_a_regular_file";
}

export interface FailedFile extends FoundFile {
  readonly code: string;
  readonly message: string;
  /** Whether the ledger should know: a folder, or a name that cannot be one, is no document. */
  readonly recorded: boolean;
}

export interface WalkOptions {
  /** One root for all paths; without it every folder is its own root, and a file's root is its folder. */
  readonly root?: string;
  /** Also dotfiles and `node_modules`. */
  readonly hidden: boolean;
  /** Patterns as in a .gitignore at the root. */
  readonly ignore: readonly string[];
  readonly documentBytesMax: number;
}

export interface WalkResult {
  readonly files: FoundFile[];
  readonly skipped: SkippedFile[];
  readonly failed: FailedFile[];
  /** The folders that were walked, absolute and with links resolved. */
  readonly folders: readonly string[];
}

/**
 * @throws InvalidInputError `file.not_found` | `source.outside_root` | `source.ambiguous` (two files with the same source)
 */
export async function walk(paths: readonly string[], options: WalkOptions): Promise<WalkResult> {
  const found = new Findings(options.documentBytesMax);
  const folders: string[] = [];
  for (const path of paths) {
    const real = await realPathOf(path);
    const isFolder = (await stat(real)).isDirectory();
    const root = options.root === undefined ? (isFolder ? real : dirname(real)) : await realPathOf(options.root);
    if (real !== root && !isInside(root, real)) {
      throw new InvalidInputError("source.outside_root", `${path} does not lie under ${root}`, {
        hint: "Name a --root that holds every path.",
      });
    }
    if (isFolder) folders.push(real);
    if (isFolder) await walkFolder(real, { root, found, rules: await rulesAbove(root, real, options), hidden: options.hidden });
    // Without a root, a link that is named keeps its own name, not that of its target.
    else await found.addNamed(real, options.root === undefined ? basename(resolve(path)) : relative(root, real));
  }
  return { ...found.result(), folders };
}

interface FolderWalk {
  readonly root: string;
  readonly found: Findings;
  readonly rules: IgnoreRules;
  readonly hidden: boolean;
  /** What the folder is called where that differs from where it lies: it was reached by a link. */
  readonly linkedAs?: string;
}

async function walkFolder(folder: string, context: FolderWalk): Promise<void> {
  const { root, found, hidden, linkedAs } = context;
  const folderSource = linkedAs ?? relative(root, folder);
  const rules = await context.rules.enter(folder, folderSource);
  const entries = await entriesOf(folder);
  if (entries === undefined) return found.fail(folder, folderSource, 0, "file.unreadable", "The folder cannot be read", false);

  for (const entry of entries) {
    if (!hidden && (entry.name.startsWith(".") || entry.name === "node_modules")) continue;
    const path = join(folder, entry.name);
    const source = join(folderSource, entry.name);
    if (rules.ignores(source, entry.isDirectory())) continue;
    if (entry.isDirectory()) {
      await walkFolder(path, { ...context, rules, ...(linkedAs === undefined ? {} : { linkedAs: source }) });
    } else if (entry.isSymbolicLink()) {
      await followLink(path, source, { ...context, rules });
    } else if (entry.isFile()) {
      await found.addFound(path, source);
    } else {
      found.skip(source, "not_a_regular_file");
    }
  }
}

/**
 * A link may not lead out of the root: whoever can put a link into the folder could otherwise have any file of this machine indexed. Links
 * to folders are followed one deep, since links among folders make more paths than can ever be walked.
 */
async function followLink(path: string, source: string, context: FolderWalk): Promise<void> {
  const { root, found, rules } = context;
  let target: string;
  try {
    target = await realpath(path);
  } catch (error) {
    return found.skip(source, codeOf(error) === "ELOOP" ? "symlink_loop" : "symlink_broken");
  }
  if (!isInside(root, target)) return found.skip(source, target === root ? "symlink_loop" : "symlink_outside_root");
  const stats = await stat(target);
  if (stats.isDirectory()) {
    if (path.startsWith(target + sep)) return found.skip(source, "symlink_loop");
    if (context.linkedAs !== undefined) return found.skip(source, "symlink_nested");
    if (rules.ignores(source, true)) return;
    await walkFolder(target, { ...context, linkedAs: source });
  } else if (stats.isFile()) {
    await found.addFound(target, source);
  } else {
    found.skip(source, "not_a_regular_file");
  }
}

/** Collects findings under their source names and refuses two files with the same one. */
class Findings {
  readonly #files = new Map<string, FoundFile>();
  readonly #skipped: SkippedFile[] = [];
  readonly #failed: FailedFile[] = [];
  readonly #documentBytesMax: number;

  constructor(documentBytesMax: number) {
    this.#documentBytesMax = documentBytesMax;
  }

  async addFound(path: string, relativePath: string): Promise<void> {
    if (mediaTypeOf(sourceOf(relativePath)) === undefined) return this.skip(relativePath, "unsupported_type");
    await this.#add(path, relativePath);
  }

  /** A file that was named on the command line: what a folder may skip is a failure here. */
  async addNamed(path: string, relativePath: string): Promise<void> {
    const stats = await lstat(path);
    if (!stats.isFile()) return this.fail(path, relativePath, 0, "file.not_regular", "This is not a regular file", false);
    if (mediaTypeOf(sourceOf(relativePath)) === undefined) {
      const message = `No parser for this type of file; these have one: ${knownExtensions.join(", ")}`;
      return this.fail(path, relativePath, stats.size, "file.unsupported_type", message);
    }
    await this.#add(path, relativePath);
  }

  async #add(path: string, relativePath: string): Promise<void> {
    let bytes: number;
    try {
      // Nothing else is done meanwhile, and to wait for each of thousands would take ten times as long.
      bytes = lstatSync(path).size;
    } catch {
      return this.fail(path, relativePath, 0, "file.unreadable", "The file went away, or its folder cannot be searched");
    }
    const source = sourceOf(relativePath);
    if (source.includes("\u{fffd}")) {
      return this.fail(path, relativePath, bytes, "source.not_unicode", "The name of the file is not valid UTF-8", false);
    }
    if (Buffer.byteLength(source) > limits.sourceBytesMax) {
      const message = `The path has more than ${limits.sourceBytesMax} bytes`;
      return this.fail(path, `${relativePath.slice(0, 200)}…`, bytes, "source.too_long", message, false);
    }
    if (bytes > this.#documentBytesMax) {
      return this.fail(path, relativePath, bytes, "file.too_large", tooLargeMessage(bytes, this.#documentBytesMax));
    }
    const other = this.#files.get(source);
    if (other !== undefined && other.origin !== path) {
      throw new InvalidInputError("source.ambiguous", `Two files would both be the document "${source}": ${other.origin} and ${path}`, {
        hint: "Give a folder above both as --root, so that their names differ.",
      });
    }
    this.#files.set(source, { source, origin: path, bytes });
  }

  skip(relativePath: string, reason: SkippedFile["reason"]): void {
    this.#skipped.push({ source: sourceOf(relativePath), reason });
  }

  fail(origin: string, relativePath: string, bytes: number, code: string, message: string, recorded = true): void {
    this.#failed.push({ source: sourceOf(relativePath) || ".", origin, bytes, code, message, recorded });
  }

  result(): Omit<WalkResult, "folders"> {
    const bySource = (a: { source: string }, b: { source: string }): number => (a.source < b.source ? -1 : 1);
    return { files: [...this.#files.values()].sort(bySource), skipped: this.#skipped, failed: this.#failed };
  }
}

function sourceOf(relativePath: string): string {
  return relativePath.split(sep).join("/").normalize("NFC");
}

/** The rules of the folders between the root and the folder that was named, outermost first. */
async function rulesAbove(root: string, folder: string, options: WalkOptions): Promise<IgnoreRules> {
  let rules = new IgnoreRules(options.ignore);
  const steps = relative(root, folder).split(sep).slice(0, -1);
  if (folder !== root) rules = await rules.enter(root, "");
  for (let depth = 1; depth <= steps.length; depth++) {
    const below = join(...steps.slice(0, depth));
    rules = await rules.enter(join(root, below), below);
  }
  return rules;
}

async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new InvalidInputError("file.not_found", `There is no ${path}`, { cause: error });
  }
}

async function entriesOf(folder: string): Promise<Dirent[] | undefined> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return undefined; // reported by the caller: not permitted, or gone since it was listed
  }
}

function isInside(root: string, path: string): boolean {
  return path.startsWith(root.endsWith(sep) ? root : root + sep);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
