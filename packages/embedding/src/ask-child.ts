import { DependencyError, isMillraceError } from "@millrace/core";
import type { ChildPool, ChildRequestOptions } from "@millrace/runtime";

/**
 * Asks a process that runs a model. One that dies is replaced by the pool, and what it had is asked once more.
 * @param code of the error where it died twice or hangs
 * @throws what the child throws; DependencyError with `code`
 */
export async function askChild<T>(pool: ChildPool, request: unknown, options: ChildRequestOptions, code = "embed.unavailable"): Promise<T> {
  try {
    return await pool.request<T>(request, options).catch((error: unknown) => {
      if (isMillraceError(error) && error.code === "child.crashed") return pool.request<T>(request, options);
      throw error;
    });
  } catch (error) {
    if (!isMillraceError(error) || !error.code.startsWith("child.")) throw error;
    throw new DependencyError(code, `The model's process failed: ${error.message}`, { cause: error });
  }
}
