import { expect, test } from "vitest";
import { makePages } from "../../test/pdf.ts";
import { parsePdf } from "./pdf.ts";

const { push } = Array.prototype;

test("a page gives its text, and leaves the process the built-in functions it had", async () => {
  const { document } = await parsePdf(
    makePages(1, () => "BT /F 12 Tf 72 720 Td (Spawning salmon) Tj ET"),
    1,
  );
  expect(document.text).toBe("Spawning salmon");
  expect(Array.prototype.push).toBe(push);
});
