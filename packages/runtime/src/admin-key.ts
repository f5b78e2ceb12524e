import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, errorMessage } from "@millrace/core";

/** Makes the text of an API key: `mr_<id>_<secret>`, 8 and 32 random bytes. */
export function newApiKeyText(): string {
  return `mr_${randomBytes(8).toString("hex")}_${randomBytes(32).toString("base64url")}`;
}

/**
 * The admin key of this installation, from `<home>/admin.key`; made there, readable by its owner only, when there is none. Two processes
 * that start together get the same key: the file appears complete or not at all, and the first one stays.
 */
export async function loadOrCreateAdminKey(home: string): Promise<string> {
  const path = join(home, "admin.key");
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await mkdir(home, { recursive: true });
    return await readFile(path, "utf8").then(
      (text) => text.trim(),
      async () => {
        await writeFile(temporary, `${newApiKeyText()}\n`, { mode: 0o600 });
        await link(temporary, path).catch(() => undefined); // another process was first: its key counts
        return (await readFile(path, "utf8")).trim();
      },
    );
  } catch (error) {
    throw new ConfigError("home.unwritable", `Cannot keep the admin key in ${path}: ${errorMessage(error)}`, {
      cause: error,
      hint: "Set MILLRACE_HOME to a folder that you may write.",
    });
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}
