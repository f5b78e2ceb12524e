import type { BlockKind } from "@millrace/core";
import type { DefaultTreeAdapterMap } from "parse5";
import type { DocumentBuilder } from "./document-builder.ts";

export type Node = DefaultTreeAdapterMap["node"];
export type Element = DefaultTreeAdapterMap["element"];

/** What is never text to read: code, drawings, controls of forms. */
const unread = new Set(
  "script style template noscript head iframe svg math object canvas audio video button select textarea input".split(" "),
);
const headingLevels: Readonly<Record<string, number>> = { h1: 1, h2: 2, h3: 3, h4: 4, h5: 5, h6: 6 };
const blockKinds: Readonly<Record<string, BlockKind>> = { pre: "code", ul: "list", ol: "list", dl: "list", table: "table" };
const blockTags = new Set([
  ..."address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form header".split(" "),
  ..."hgroup hr html li main nav ol p pre search section summary table tbody td tfoot th thead tr ul".split(" "),
  ...Object.keys(headingLevels),
]);

/**
 * The readable text below a node as blocks: headings, lists, tables, code, paragraphs. The tree is walked with a stack of its own, not by recursion: a
 * page may nest as deep as it likes.
 * @param omits elements to leave out with all that is in them
 */
export function addHtmlBlocks(builder: DocumentBuilder, root: Node, omits: (element: Element) => boolean): void {
  const containers = containersOfBlocks(root);
  let inline = "";
  const flush = (): void => {
    builder.add("paragraph", inline.replace(/\s+/g, " ").trim());
    inline = "";
  };
  const pending: (Node | "end of block")[] = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node === "end of block") {
      flush();
      continue;
    }
    if (isText(node)) {
      inline += node.value;
      continue;
    }
    if (!("childNodes" in node)) continue; // comments and the doctype
    if (isElement(node)) {
      const { tagName } = node;
      if (unread.has(tagName) || omits(node)) continue;
      const level = headingLevels[tagName];
      const kind = level === undefined ? blockKinds[tagName] : "heading";
      if (kind === "heading" || kind === "code" || (kind !== undefined && !containers.has(node))) {
        flush();
        builder.add(kind, elementText(node, kind), level);
        continue;
      }
      if (tagName === "br") inline += " ";
      if (blockTags.has(tagName)) {
        flush();
        pending.push("end of block");
      }
    }
    pushChildren(pending, node.childNodes);
  }
  flush();
}

/**
 * Elements with headings, code or tables in them. A list or table among them is there for the layout: read as one block it would bury the
 * structure inside it.
 */
function containersOfBlocks(root: Node): ReadonlySet<Node> {
  const containers = new Set<Node>();
  for (const element of elementsBelow(root)) {
    if (element.tagName !== "pre" && element.tagName !== "table" && !(element.tagName in headingLevels)) continue;
    for (let above: Node | null = element.parentNode; above !== null && !containers.has(above); ) {
      containers.add(above);
      above = "parentNode" in above ? above.parentNode : null;
    }
  }
  return containers;
}

export function* elementsBelow(root: Node): Generator<Element> {
  const pending: Node[] = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (isElement(node) && node !== root) yield node;
    if ("childNodes" in node) pushChildren(pending, node.childNodes);
  }
}

/** Text of a whole element: lines for list items and table rows, ` | ` between cells, white space kept only in code. */
export function elementText(element: Element, kind: BlockKind): string {
  let text = "";
  const pending: (Node | string)[] = [...element.childNodes].reverse();
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (typeof node === "string") text += node;
    else if (isText(node)) text += kind === "code" ? node.value : node.value.replace(/\s+/g, " ");
    else if ("childNodes" in node) {
      const tag = isElement(node) ? node.tagName : "";
      if (unread.has(tag)) continue;
      if (tag === "li") text += "\n- ";
      else if (tag === "tr" || tag === "dt" || tag === "br" || tag === "caption") text += "\n";
      else if (tag === "dd") text += ": ";
      if (tag === "td" || tag === "th") pending.push(" | ");
      else if (tag === "caption") pending.push("\n");
      else if (kind !== "code" && blockTags.has(tag)) pending.push(" "); // words of neighbouring blocks do not run together
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
  return lines.filter((line) => line !== "" && line !== "-").join(kind === "heading" ? " " : "\n");
}

function pushChildren(pending: (Node | string)[], children: readonly Node[]): void {
  for (let index = children.length - 1; index >= 0; index--) pending.push(children[index] as Node);
}

export function isElement(node: Node): node is Element {
  return "tagName" in node;
}

function isText(node: Node): node is DefaultTreeAdapterMap["textNode"] {
  return node.nodeName === "#text";
}
