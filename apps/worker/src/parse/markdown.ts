import type { ParsedDocument } from "@millrace/core";
import type { Nodes, Parents, Table } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { gfm } from "micromark-extension-gfm";
import { parse as parseYaml } from "yaml";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

/**
 * Markdown as its reader sees it: link targets and emphasis marks are dropped, code stays to the letter, tables become lines of cells. YAML front
 * matter is metadata. What the reader sees is also what is embedded, so tokens are not spent on URLs.
 */
export async function parseMarkdown(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const { metadata, body } = splitFrontMatter(decoded.text);
  const tree = fromMarkdown(body, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] });
  const builder = new DocumentBuilder();
  let firstHeading: string | undefined;
  for (const node of tree.children) {
    if (node.type === "heading") firstHeading ??= inlineText(node);
    addBlock(builder, node);
  }
  const title = typeof metadata["title"] === "string" ? metadata["title"] : firstHeading;
  return builder.build({ title, metadata: { ...metadata, ...encodingFact(decoded) } });
}

/** Front matter that is no YAML mapping is text like any other. */
function splitFrontMatter(text: string): { metadata: Readonly<Record<string, unknown>>; body: string } {
  const match = /^---[^\S\n]*\n([\s\S]*?)\n(?:---|\.\.\.)[^\S\n]*(?:\n|$)/.exec(text);
  if (match === null) return { metadata: {}, body: text };
  try {
    // Without aliases, a few lines cannot expand into gigabytes.
    const value: unknown = parseYaml(match[1] ?? "", { maxAliasCount: 0 });
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { metadata: value as Record<string, unknown>, body: text.slice(match[0].length) };
    }
  } catch {
    // Not YAML: kept as text, so that nothing the author wrote is lost.
  }
  return { metadata: {}, body: text };
}

function addBlock(builder: DocumentBuilder, node: Nodes): void {
  if (node.type === "heading") builder.add("heading", inlineText(node), node.depth);
  else if (node.type === "paragraph") builder.add("paragraph", inlineText(node));
  else if (node.type === "code") builder.add("code", node.value);
  else if (node.type === "table") builder.add("table", tableText(node));
  else if (node.type === "list") builder.add("list", listText(node, 0));
  else if (node.type === "html") builder.add("paragraph", withoutTags(node.value));
  else if (node.type === "blockquote" || node.type === "footnoteDefinition") for (const child of node.children) addBlock(builder, child);
  // thematicBreak, definition: nothing to read
}

/** A tag inside prose is markup; what stands between tags is text. */
function withoutTags(html: string): string {
  return html.replace(/<!--[\s\S]*?(?:-->|$)/g, "").replace(/<[^<>]*>/g, "");
}

function inlineText(node: Nodes): string {
  switch (node.type) {
    case "text":
    case "inlineCode":
    case "code":
      return node.value;
    case "html":
      return withoutTags(node.value);
    case "image":
    case "imageReference":
      return node.alt ?? "";
    case "break":
      return "\n";
    default:
      return "children" in node ? (node as Parents).children.map(inlineText).join("") : "";
  }
}

function tableText(table: Table): string {
  return table.children.map((row) => row.children.map((cell) => inlineText(cell).replace(/\s+/g, " ").trim()).join(" | ")).join("\n");
}

function listText(list: Extract<Nodes, { type: "list" }>, depth: number): string {
  const lines: string[] = [];
  for (const [index, item] of list.children.entries()) {
    const mark = list.ordered === true ? `${(list.start ?? 1) + index}. ` : "- ";
    const body = item.children.map((child) => flowText(child, depth + 1)).join("\n");
    lines.push(`${"  ".repeat(depth)}${mark}${body}`);
  }
  return lines.join("\n");
}

/** Text of a block that stands inside another one. */
function flowText(node: Nodes, depth: number): string {
  if (node.type === "list") return listText(node, depth);
  if (node.type === "table") return tableText(node);
  if (node.type === "blockquote") return node.children.map((child) => flowText(child, depth)).join("\n");
  return inlineText(node);
}
