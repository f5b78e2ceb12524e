import type { ParsedDocument } from "@millrace/core";
import MarkdownIt, { type StateBlock, type Token } from "markdown-it";
import { parse as parseYaml } from "yaml";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";
import { parseText } from "./text.ts";

/**
 * Markdown as its reader sees it: link targets and emphasis marks are dropped, code stays to the letter, tables become lines of cells. YAML front
 * matter is metadata. What the reader sees is also what is embedded, so tokens are not spent on URLs.
 */
export async function parseMarkdown(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const { metadata, body } = splitFrontMatter(decoded.text);
  const env: Environment = { footnotes: new Set() };
  const tokens = markdown.parse(body, env);
  // The rest of what is nested deeper was left out.
  if (tokens.some(({ level }) => level >= nestingMax - 1)) return parseText(bytes);
  const blocks = treeOf(tokens);
  const builder = new DocumentBuilder();
  for (const block of blocks) addBlock(builder, block, env);
  const heading = blocks.find(({ type }) => type === "heading_open");
  const title = typeof metadata["title"] === "string" ? metadata["title"] : heading && textOf(heading, env);
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

/** What one parse knows: the labels of the footnotes so far. */
type Environment = { readonly footnotes: Set<string> };

/** No text has as many blocks within each other; a file that has is no Markdown, and read as plain text. */
const nestingMax = 200;
const markdown = new MarkdownIt({ html: true, maxNesting: nestingMax });
markdown.block.ruler.before("reference", "footnote", dropFootnoteMark, { alt: ["paragraph", "reference"] });

/** `[^label]: text` is a block of its own, the text as if it stood there alone. */
function dropFootnoteMark(state: StateBlock, line: number, _endLine: number, silent: boolean): boolean {
  const start = (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0);
  const match = /^\[\^([^\]\s]+)\]:[ \t]*/.exec(state.src.slice(start, state.eMarks[line]));
  if (match === null || silent) return match !== null;
  (state.env as unknown as Environment).footnotes.add(match[1] ?? "");
  // The rules that come next see a line that begins behind the mark.
  state.bMarks[line] = start + match[0].length;
  state.tShift[line] = 0;
  return false;
}

interface Node {
  /** That of the token: `paragraph_open`, `inline`, `fence` … */
  readonly type: string;
  readonly token: Token;
  readonly children: Node[];
}

/** The flat list of opening and closing tokens as a tree, with what stands inside a line at its leaves. */
function treeOf(tokens: readonly Token[]): Node[] {
  const root: Node[] = [];
  const open: Node[][] = [root];
  for (const token of tokens) {
    if (token.nesting < 0) {
      open.pop();
      continue;
    }
    const node: Node = { type: token.type, token, children: token.children === null ? [] : treeOf(token.children) };
    open.at(-1)?.push(node);
    if (token.nesting > 0) open.push(node.children);
  }
  return root;
}

function addBlock(builder: DocumentBuilder, node: Node, env: Environment): void {
  const { type, token, children } = node;
  if (type === "heading_open") builder.add("heading", textOf(node, env), Number(token.tag.slice(1)));
  else if (type === "paragraph_open") builder.add("paragraph", textOf(node, env));
  else if (type === "fence" || type === "code_block") builder.add("code", codeOf(node));
  else if (type === "table_open") builder.add("table", tableText(node, env));
  else if (isList(node)) builder.add("list", listText(node, 0, env));
  else if (type === "html_block") builder.add("paragraph", withoutTags(token.content));
  else if (type === "blockquote_open") for (const child of children) addBlock(builder, child, env);
  // hr: nothing to read
}

function isList({ type }: Node): boolean {
  return type === "bullet_list_open" || type === "ordered_list_open";
}

/** Without the line end that belongs to the fence. */
function codeOf({ token }: Node): string {
  return token.content.replace(/\n$/, "");
}

/** A tag inside prose is markup; what stands between tags is text. */
function withoutTags(html: string): string {
  return html.replace(/<!--[\s\S]*?(?:-->|$)/g, "").replace(/<[^<>]*>/g, "");
}

/** What a reader sees of a line, or of all lines below. */
function textOf(node: Node, env: Environment): string {
  switch (node.type) {
    case "text":
      return node.token.content.replace(/\[\^([^\]\s]+)\]/g, (mark, label: string) => (env.footnotes.has(label) ? "" : mark));
    case "text_special":
    case "code_inline":
      return node.token.content;
    case "fence":
    case "code_block":
      return codeOf(node);
    case "html_inline":
    case "html_block":
      return withoutTags(node.token.content);
    case "softbreak":
    case "hardbreak":
      return "\n";
    default:
      return node.children.map((child) => textOf(child, env)).join("");
  }
}

function tableText(table: Node, env: Environment): string {
  const rows = table.children.flatMap((part) => part.children); // of head and body
  return rows.map((row) => row.children.map((cell) => textOf(cell, env).replace(/\s+/g, " ").trim()).join(" | ")).join("\n");
}

function listText(list: Node, depth: number, env: Environment): string {
  const first = list.type === "ordered_list_open" ? Number(list.token.attrGet("start") ?? 1) : undefined;
  const lines = list.children.map((item, index) => {
    const mark = first === undefined ? "- " : `${first + index}. `;
    const body = item.children.map((child) => flowText(child, depth + 1, env)).join("\n");
    return `${"  ".repeat(depth)}${mark}${body.replace(/^\[[ xX]\] /, "")}`;
  });
  return lines.join("\n");
}

/** Text of a block that stands inside another one. */
function flowText(node: Node, depth: number, env: Environment): string {
  if (isList(node)) return listText(node, depth, env);
  if (node.type === "table_open") return tableText(node, env);
  if (node.type === "blockquote_open") return node.children.map((child) => flowText(child, depth, env)).join("\n");
  return textOf(node, env);
}
