import { type Zippable, zipSync } from "fflate";

const head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>';
const word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const officeDocument = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

export interface DocxParts {
  /** Elements of `w:body`. */
  readonly body: string;
  /** Further relationships of the document. */
  readonly relationships?: string;
  readonly title?: string;
  /** Before the root of the document part. */
  readonly doctype?: string;
  readonly extra?: Zippable;
}

export function paragraph(text: string, style?: string): string {
  return `<w:p>${style === undefined ? "" : `<w:pPr><w:pStyle w:val="${style}"/></w:pPr>`}<w:r><w:t xml:space="preserve">${text}</w:t></w:r></w:p>`;
}

/** A picture that lies outside the document, as Word links one. */
export function linkedPicture(id: string): string {
  return `<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"><a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData><pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill><a:blip xmlns:r="${officeDocument}" r:link="${id}"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>`;
}

/** The smallest docx that Word would open, with styles for headings. */
export function makeDocx({ body, relationships = "", title = "", doctype = "", extra = {} }: DocxParts): Uint8Array {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const style = (id: string, name: string): string => `<w:style w:type="paragraph" w:styleId="${id}"><w:name w:val="${name}"/></w:style>`;
  return zipSync({
    "[Content_Types].xml": text(
      `${head}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`,
    ),
    "_rels/.rels": text(
      `${head}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="${officeDocument}/officeDocument" Target="word/document.xml"/></Relationships>`,
    ),
    "word/_rels/document.xml.rels": text(
      `${head}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rIdStyles" Type="${officeDocument}/styles" Target="styles.xml"/>${relationships}</Relationships>`,
    ),
    "word/styles.xml": text(
      `${head}<w:styles xmlns:w="${word}">${style("Heading1", "heading 1")}${style("Heading2", "heading 2")}${style("Title", "Title")}</w:styles>`,
    ),
    "docProps/core.xml": text(
      `${head}<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>${title}</dc:title><dc:creator>An Author</dc:creator></cp:coreProperties>`,
    ),
    "word/document.xml": text(`${head}${doctype}<w:document xmlns:w="${word}"><w:body>${body}</w:body></w:document>`),
    ...extra,
  });
}
