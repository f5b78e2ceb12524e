/** Objects by number, from 1, each without its `obj` and `endobj`. The first is the catalog. */
export function makePdf(objects: readonly (string | Uint8Array)[], trailer = ""): Uint8Array {
  const parts: Buffer[] = [];
  const offsets: number[] = [];
  let length = 0;
  const put = (part: string | Uint8Array): void => {
    const bytes = typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part);
    parts.push(bytes);
    length += bytes.length;
  };
  put("%PDF-1.7\n");
  for (const [index, object] of objects.entries()) {
    offsets.push(length);
    put(`${index + 1} 0 obj\n`);
    put(object);
    put("\nendobj\n");
  }
  const xref = length;
  const rows = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`);
  put(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${rows.join("")}`);
  put(`trailer\n<</Size ${objects.length + 1}/Root 1 0 R${trailer}>>\nstartxref\n${xref}\n%%EOF\n`);
  return new Uint8Array(Buffer.concat(parts));
}

export function stream(bytes: Uint8Array | string, dictionary = ""): Uint8Array {
  const data = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`<<${dictionary}/Length ${data.length}>>\nstream\n`), data, Buffer.from("\nendstream")]);
}

/** Pages in one flat list, the form that is slowest to find a page in. `contentOf` gives the operators of a page by its number, from 1. */
export function makePages(pages: number, contentOf: ((page: number) => string) | undefined): Uint8Array {
  const perPage = contentOf === undefined ? 1 : 2;
  const kids = Array.from({ length: pages }, (_, index) => `${4 + perPage * index} 0 R`);
  const objects: (string | Uint8Array)[] = [
    "<</Type/Catalog/Pages 2 0 R>>",
    `<</Type/Pages/Count ${pages}/Kids[${kids.join(" ")}]>>`,
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
  ];
  for (let page = 1; page <= pages; page++) {
    const contents = contentOf === undefined ? "" : `/Contents ${objects.length + 2} 0 R`;
    objects.push(`<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>${contents}>>`);
    if (contentOf !== undefined) objects.push(stream(contentOf(page)));
  }
  return makePdf(objects);
}

export function textContent(lines: readonly string[]): string {
  return `BT /F1 10 Tf 12 TL 50 780 Td ${lines.map((line) => `(${line}) Tj T*`).join("\n")} ET`;
}

/** One page with this content stream, as it stands or behind filters. */
export function makePage(content: Uint8Array | string, filters = "", resources = ""): Uint8Array {
  return makePdf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 1/Kids[4 0 R]>>",
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    `<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>${resources}>>/Contents 5 0 R>>`,
    stream(content, filters === "" ? "" : `/Filter[${filters}]`),
  ]);
}
