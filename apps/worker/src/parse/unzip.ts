import { DocumentError, limits } from "@millrace/core";
import { unzipSync } from "fflate";

/** Small files may well compress by any ratio. */
const ratioFreeBytes = 1024 * 1024;

/**
 * Unpacks the wanted entries of a zip archive into memory, within limits on entries, bytes and ratio. They are checked against what the archive
 * says of itself, before anything is unpacked; an archive that lies gets no more than it asked for, since each entry is unpacked into as much
 * memory as it declares, and what is cut off is damaged.
 * @throws DocumentError `parse.damaged`, `parse.archive_bomb`
 */
export function unzipWithin(bytes: Uint8Array, wants: (name: string) => boolean): Record<string, Uint8Array> {
  let entries = 0;
  let total = 0;
  const filter = ({ name, size, originalSize }: { name: string; size: number; originalSize: number }): boolean => {
    if (++entries > limits.archiveEntriesMax) throw bomb(`more than ${limits.archiveEntriesMax} entries`);
    if (!wants(name)) return false;
    total += originalSize;
    if (total > limits.archiveBytesMax) throw bomb(`more than ${limits.archiveBytesMax} bytes to unpack`);
    if (originalSize > Math.max(ratioFreeBytes, size * limits.archiveRatioMax)) {
      throw bomb(`${name} unpacks to more than ${limits.archiveRatioMax} times its size`);
    }
    return true;
  };
  try {
    return unzipSync(bytes, { filter });
  } catch (error) {
    if (error instanceof DocumentError) throw error;
    throw new DocumentError("parse.damaged", "The archive cannot be unpacked", {
      cause: error,
      hint: "Open it in the program it comes from and save it again.",
    });
  }
}

function bomb(what: string): DocumentError {
  return new DocumentError("parse.archive_bomb", `The archive has ${what}`, { hint: "Split the document, or save it again." });
}
