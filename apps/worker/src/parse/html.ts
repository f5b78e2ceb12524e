import type { BlockKind, ParsedDocument } from "@millrace/core";
import { type DefaultTreeAdapterMap, parse } from "parse5";
import { decodeText } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

type Node = DefaultTreeAdapterMap["node"];
type Element = DefaultTreeAdapterMap["element"];

/** Parts of a page that are not its text. */
const ignored = new Set([
  "script",
  "style",
  "template",
  "noscript",
  "nav",
  "head",
  "iframe",
  "svg",
  "math",
  "object",
  "form",
  "button",
  "select",
]);
const headingLevels: Readonly<Record<string, number>> = { h1: 1, h2: 2, h3: 3, h4: 4, h5: 5, h6: 6 };
const blockKinds: Readonly<Record<string, BlockKind>> = { pre: "code", ul: "list", ol: "list", dl: "list", table: "table" };
const blockTags = new Set([
  ..."address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer header hgroup hr html li main ol p pre section summary".split(
    " ",
  ),
  ..."table tbody td tfoot th thead tr ul".split(" "),
  ...Object.keys(headingLevels),
]);

/**
 * The readable text of a page with its headings, lists, tables and code. The tree is walked with a stack of its own, not by recursion: a page
 * may nest as deep as it likes.
 */
export async function parseHtml(bytes: Uint8Array): Promise<ParsedDocument> {
  const { text, encoding } = decodeText(bytes);
  const tree = parse(text);
  const builder = new DocumentBuilder();
  let inline = "";
  const flush = (): void => {
    builder.add("paragraph", inline.replace(/\s+/g, " ").trim());
    inline = "";
  };
  const pending: (Node | "end of block")[] = [tree];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node === "end of block") flush();
    else if (isText(node)) inline += node.value;
    else if (!("childNodes" in node))
      continue; // comments and the doctype
    else {
      const tag = "tagName" in node ? node.tagName : "";
      if (ignored.has(tag)) continue;
      const level = headingLevels[tag];
      const kind = level === undefined ? blockKinds[tag] : "heading";
      if (kind !== undefined) {
        flush();
        builder.add(kind, elementText(node as Element, kind), level);
        continue;
      }
      if (tag === "br") inline += " ";
      if (blockTags.has(tag)) {
        flush();
        pending.push("end of block");
      }
      pushChildren(pending, node.childNodes);
    }
  }
  flush();
  return builder.build({ title: titleOf(tree), metadata: encoding === "utf-8" ? {} : { encoding } });
}

/** Text of a whole element: lines for list items and table rows, ` | ` between cells, white space kept only in code. */
function elementText(element: Element, kind: BlockKind): string {
  let text = "";
  const pending: (Node | string)[] = [...element.childNodes].reverse();
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (typeof node === "string") text += node;
    else if (isText(node)) text += kind === "code" ? node.value : node.value.replace(/\s+/g, " ");
    else if ("childNodes" in node) {
      const tag = "tagName" in node ? node.tagName : "";
      if (ignored.has(tag)) continue;
      if (tag === "li") text += "\n- ";
      else if (tag === "tr" || tag === "dt" || tag === "br") text += "\n";
      else if (tag === "dd") text += ": ";
      if (tag === "td" || tag === "th") pending.push(" | ");
      pushChildren(pending, node.childNodes);
    }
  }
  if (kind === "code") return text;
  const lines = text.split("\n").map((line) =>
    line
      .replace(/[^\S\n]+/g, " ")
      .replace(/(?: \|)+ *$/, "")
      .trim(),
  );
  return lines.filter((line) => line !== "").join(kind === "heading" ? " " : "\n");
}

function pushChildren(pending: (Node | string)[], children: readonly Node[]): void {
  for (let index = children.length - 1; index >= 0; index--) pending.push(children[index] as Node);
}

function isText(node: Node): node is DefaultTreeAdapterMap["textNode"] {
  return node.nodeName === "#text";
}

function titleOf(tree: DefaultTreeAdapterMap["document"]): string | undefined {
  const html = tree.childNodes.find((node) => node.nodeName === "html") as Element | undefined;
  const head = html?.childNodes.find((node) => node.nodeName === "head") as Element | undefined;
  const title = head?.childNodes.find((node) => node.nodeName === "title") as Element | undefined;
  return title === undefined ? undefined : elementText(title, "heading");
}
