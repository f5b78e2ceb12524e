import { expect, test } from "vitest";
import { knownExtensions, mediaTypeOf, mediaTypeOfMime, mediaTypes } from "./media-type.ts";

test("the extension decides, whatever its case and the path before it", () => {
  expect(mediaTypeOf("a/b.c/Report.DOCX")).toBe("application/vnd.openxmlformats-officedocument.wordprocessingml.document");
  expect(mediaTypeOf("data.v2.tsv")).toBe("text/tab-separated-values");
  expect(mediaTypeOf("src/main.rs")).toBe("text/x-source");
  for (const source of ["Makefile", "photo.png", "a.b/c", ".gitignore", "x."]) expect(mediaTypeOf(source)).toBeUndefined();
});

test("no extension stands for two formats, and every format has one", () => {
  expect(new Set(knownExtensions).size).toBe(knownExtensions.length);
  expect(new Set(knownExtensions.map((extension) => mediaTypeOf(`a.${extension}`)))).toEqual(new Set(mediaTypes));
});

test("a MIME type names its format by either of its names, parameters aside", () => {
  for (const mediaType of mediaTypes) expect(mediaTypeOfMime(`${mediaType.toUpperCase()}; charset=x`)).toBe(mediaType);
  expect(mediaTypeOfMime("application/x-ndjson")).toBe("application/jsonl");
  expect(mediaTypeOfMime("application/octet-stream")).toBeUndefined();
  expect(mediaTypeOfMime("")).toBeUndefined();
});
