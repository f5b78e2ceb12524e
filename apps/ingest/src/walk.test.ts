import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, realpath, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type WalkOptions, walk } from "./walk.ts";

const options: WalkOptions = { hidden: false, ignore: [], documentBytesMax: 1_000_000 };
const isRoot = process.getuid?.() === 0;
let outside: string;
let root: string;

beforeEach(async () => {
  outside = await realpath(await mkdtemp(join(tmpdir(), "millrace-walk-")));
  root = join(outside, "root");
  await mkdir(root);
});

afterEach(() => rm(outside, { recursive: true, force: true }));

async function file(path: string, text = "text"): Promise<string> {
  const full = join(root, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, text);
  return full;
}

async function sourcesIn(paths: string[] = [root], changed: Partial<WalkOptions> = {}): Promise<string[]> {
  return (await walk(paths, { ...options, ...changed })).files.map(({ source }) => source);
}

test("names documents by their path below the folder that was given, with their real path and size", async () => {
  const path = await file("a/b/deep.md", "12345");
  await file("top.txt");
  const found = await walk([root], options);
  expect(found.files).toEqual([
    { source: "a/b/deep.md", origin: path, bytes: 5 },
    { source: "top.txt", origin: join(root, "top.txt"), bytes: 4 },
  ]);
  expect(found.skipped).toEqual([]);
  expect(found.failed).toEqual([]);
});

test("names a file by itself, or by its path below --root", async () => {
  const path = await file("a/b/deep.md");
  expect(await sourcesIn([path])).toEqual(["deep.md"]);
  expect(await sourcesIn([path], { root })).toEqual(["a/b/deep.md"]);
  expect(await sourcesIn([join(root, "a")], { root })).toEqual(["a/b/deep.md"]);
  await expect(walk([path], { ...options, root: join(root, "a", "b") })).resolves.toBeDefined();
  await expect(walk([root], { ...options, root: join(root, "a") })).rejects.toMatchObject({ code: "source.outside_root" });
});

test("composes names, so that one name typed on two systems is one document", async () => {
  await file("cafe\u0301.md");
  expect(await sourcesIn()).toEqual(["caf\u00e9.md"]);
});

test("refuses two files with one name, says which, and takes one file named twice once", async () => {
  await file("x/readme.md");
  await file("y/readme.md");
  const paths = [join(root, "x"), join(root, "y")];
  await expect(walk(paths, options)).rejects.toMatchObject({
    code: "source.ambiguous",
    message: expect.stringMatching(/x\/readme\.md.*y\/readme\.md/),
    hint: expect.stringContaining("--root"),
  });
  expect(await sourcesIn(paths, { root })).toEqual(["x/readme.md", "y/readme.md"]);
  expect(await sourcesIn([join(root, "x"), join(root, "x", "readme.md")])).toEqual(["readme.md"]);
});

test("a path that does not exist is wrong usage", async () => {
  await expect(walk([join(root, "nowhere")], options)).rejects.toMatchObject({ code: "file.not_found" });
});

test("leaves out dotfiles and node_modules, unless they are asked for", async () => {
  await file(".secret.md");
  await file(".git/notes.md");
  await file("node_modules/pkg/readme.md");
  await file("seen.md");
  expect(await sourcesIn()).toEqual(["seen.md"]);
  expect(await sourcesIn([root], { hidden: true })).toEqual([".git/notes.md", ".secret.md", "node_modules/pkg/readme.md", "seen.md"]);
});

test("ignore files hold for their folder and what is below; deeper ones and the command line overrule them", async () => {
  await file(".gitignore", "*.txt\nbuild/\n/only-here.md\n");
  await file(".millraceignore", "drafts\n");
  await file("sub/.gitignore", "!kept.txt\nown.md\n");
  for (const path of ["a.txt", "b.md", "build/c.md", "only-here.md", "drafts/d.md", "own.md"]) await file(path);
  for (const path of ["sub/kept.txt", "sub/lost.txt", "sub/own.md", "sub/only-here.md", "sub/deep/kept.txt"]) await file(path);
  expect(await sourcesIn()).toEqual(["b.md", "own.md", "sub/deep/kept.txt", "sub/kept.txt", "sub/only-here.md"]);
  expect(await sourcesIn([root], { ignore: ["sub/deep", "!a.txt"] })).toEqual([
    "a.txt",
    "b.md",
    "own.md",
    "sub/kept.txt",
    "sub/only-here.md",
  ]);
  // Below a --root its rules hold too.
  expect(await sourcesIn([join(root, "sub", "deep")], { root })).toEqual(["sub/deep/kept.txt"]);
  await file("sub/deep/other.txt");
  expect(await sourcesIn([join(root, "sub", "deep")], { root })).toEqual(["sub/deep/kept.txt"]);
});

test("follows links that stay inside the root, and tells of those that do not", async () => {
  await file("real/doc.md");
  await writeFile(join(outside, "secret.md"), "secret");
  await mkdir(join(outside, "elsewhere"));
  await writeFile(join(outside, "elsewhere", "secret.md"), "secret");
  await symlink(join(root, "real", "doc.md"), join(root, "link.md"));
  await symlink(join(root, "real"), join(root, "linked"));
  await symlink(join(outside, "secret.md"), join(root, "leak.md"));
  await symlink(join(outside, "elsewhere"), join(root, "leaks"));
  await symlink(join(root, "gone.md"), join(root, "broken.md"));
  // The root's name is the beginning of this one's.
  await mkdir(`${root}-other`);
  await symlink(`${root}-other`, join(root, "neighbour"));
  const found = await walk([root], options);
  expect(found.files.map(({ source }) => source)).toEqual(["link.md", "linked/doc.md", "real/doc.md"]);
  expect(found.files.map(({ origin }) => origin)).toEqual(Array(3).fill(join(root, "real", "doc.md")));
  expect(found.skipped).toEqual([
    { source: "broken.md", reason: "symlink_broken" },
    { source: "leak.md", reason: "symlink_outside_root" },
    { source: "leaks", reason: "symlink_outside_root" },
    { source: "neighbour", reason: "symlink_outside_root" },
  ]);
});

test("ends on links that go round, and on folders that all link to each other", async () => {
  await file("a/doc.md");
  await symlink(root, join(root, "a", "up"));
  await symlink(join(root, "a"), join(root, "a", "self"));
  await symlink(join(root, "round"), join(root, "round"));
  for (let from = 0; from < 9; from++) {
    await mkdir(join(root, `n${from}`));
    for (let to = 0; to < 9; to++) if (to !== from) await symlink(join(root, `n${to}`), join(root, `n${from}`, `to${to}`));
  }
  const found = await walk([root], options);
  expect(found.files.map(({ source }) => source)).toEqual(["a/doc.md"]);
  expect(found.skipped).toContainEqual({ source: "a/up", reason: "symlink_loop" });
  expect(found.skipped).toContainEqual({ source: "a/self", reason: "symlink_loop" });
  expect(found.skipped).toContainEqual({ source: "round", reason: "symlink_loop" });
});

test("never opens a pipe or a socket", async () => {
  execFileSync("sh", ["-c", 'mkfifo "$@"', "sh", join(root, "pipe.md"), join(root, ".gitignore")]);
  const server = createServer().listen(join(root, "socket.md"));
  try {
    await file("doc.md");
    const found = await walk([root], options);
    expect(found.files.map(({ source }) => source)).toEqual(["doc.md"]);
    expect(found.skipped).toEqual([
      { source: "pipe.md", reason: "not_a_regular_file" },
      { source: "socket.md", reason: "not_a_regular_file" },
    ]);
    const named = await walk([join(root, "pipe.md")], options);
    expect(named.failed).toMatchObject([{ source: "pipe.md", code: "file.not_regular", recorded: false }]);
  } finally {
    server.close();
  }
});

test("a file of 2 GB fails by its size alone", async () => {
  const path = await file("huge.pdf", "");
  await truncate(path, 2 * 1024 ** 3);
  await file("small.md");
  const found = await walk([root], options);
  expect(found.files.map(({ source }) => source)).toEqual(["small.md"]);
  expect(found.failed).toMatchObject([{ source: "huge.pdf", code: "file.too_large", bytes: 2 * 1024 ** 3, recorded: true }]);
});

test("skips types without a parser in a folder, and fails them when they are named", async () => {
  const image = await file("image.png");
  await file("noextension");
  const found = await walk([root], options);
  expect(found.skipped).toEqual([
    { source: "image.png", reason: "unsupported_type" },
    { source: "noextension", reason: "unsupported_type" },
  ]);
  expect((await walk([image], options)).failed).toMatchObject([{ source: "image.png", code: "file.unsupported_type" }]);
});

test("a name that is too long or no Unicode fails alone", async () => {
  await file(`${Array(6).fill("d".repeat(200)).join("/")}/long.md`);
  await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff]), Buffer.from(".md")]), "x");
  await file("good.md");
  const found = await walk([root], options);
  expect(found.files.map(({ source }) => source)).toEqual(["good.md"]);
  expect(found.failed.map(({ code }) => code).sort()).toEqual(["file.unreadable", "source.too_long"]);
});

test.skipIf(isRoot)("a folder that cannot be read fails by name, the rest goes on", async () => {
  await file("closed/doc.md");
  await file("open.md");
  await chmod(join(root, "closed"), 0);
  const found = await walk([root], options);
  await chmod(join(root, "closed"), 0o700);
  expect(found.files.map(({ source }) => source)).toEqual(["open.md"]);
  expect(found.failed).toMatchObject([{ source: "closed", code: "file.unreadable", recorded: false }]);
});
