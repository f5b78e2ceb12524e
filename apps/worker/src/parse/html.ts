import type { ParsedDocument } from "@millrace/core";
import { parse } from "parse5";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";
import { addHtmlBlocks, type Element, elementsBelow, elementText, isElement, type Node } from "./html-blocks.ts";

/** Parts of a page that stand around its text, by tag and by ARIA role. */
const boilerplateTags = new Set(["nav", "footer", "aside", "search", "dialog"]);
const boilerplateRoles = new Set(["navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alert"]);
/** In these, a footer or an aside belongs to the text. */
const contentTags = new Set(["main", "article", "section", "blockquote", "figure"]);

/**
 * The readable text of a page with its structure. What the author marks as `<main>` is all there is to read; on a page without it everything
 * is, except navigation and what stands around the text. A page that would be left with nothing is read whole.
 */
export async function parseHtml(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes, declaredEncoding(bytes));
  const tree = parse(decoded.text);
  const facts = { ...headFacts(tree), ...encodingFact(decoded) };
  const { title, ...metadata } = facts;
  for (const [roots, omits] of readings(tree)) {
    const builder = new DocumentBuilder();
    for (const root of roots) addHtmlBlocks(builder, root, omits);
    const document = builder.build({ title, metadata });
    if (document.text !== "") return document;
  }
  return new DocumentBuilder().build({ title, metadata });
}

/** Ways to read the page, the most selective first. */
function* readings(tree: Node): Generator<[readonly Node[], (element: Element) => boolean]> {
  const mains = outermost([...elementsBelow(tree)].filter(isMain));
  if (mains.length > 0) {
    const hasTitle = mains.some((main) => [...elementsBelow(main)].some(({ tagName }) => tagName === "h1"));
    const heading = hasTitle ? undefined : [...elementsBelow(tree)].find(({ tagName }) => tagName === "h1");
    yield [heading === undefined ? mains : [heading, ...mains], (element) => isHidden(element) || element.tagName === "nav"];
  }
  yield [[tree], (element) => isHidden(element) || isBoilerplate(element)];
  yield [[tree], () => false];
}

function isMain(element: Element): boolean {
  return (element.tagName === "main" || attribute(element, "role") === "main") && !isHidden(element);
}

function outermost(elements: readonly Element[]): Element[] {
  const all = new Set<Node>(elements);
  return elements.filter((element) => !hasAncestor(element, (node) => all.has(node)));
}

function isBoilerplate(element: Element): boolean {
  const { tagName } = element;
  if (boilerplateRoles.has(attribute(element, "role") ?? "")) return true;
  if (!boilerplateTags.has(tagName)) return false;
  return tagName === "nav" || tagName === "search" || !hasAncestor(element, (node) => isElement(node) && contentTags.has(node.tagName));
}

function isHidden(element: Element): boolean {
  return attribute(element, "hidden") !== undefined || attribute(element, "aria-hidden") === "true";
}

function hasAncestor(element: Element, matches: (node: Node) => boolean): boolean {
  for (let node: Node | null = element.parentNode; node !== null; node = "parentNode" in node ? node.parentNode : null) {
    if (matches(node)) return true;
  }
  return false;
}

function attribute(element: Element, name: string): string | undefined {
  return element.attrs.find((candidate) => candidate.name === name)?.value;
}

function headFacts(tree: Node): { title?: string; description?: string; author?: string } {
  const facts: Record<string, string> = {};
  for (const element of elementsBelow(tree)) {
    if (element.tagName === "body") break;
    const name = attribute(element, "name")?.toLowerCase() ?? "";
    if (element.tagName === "title") facts["title"] ??= elementText(element, "heading");
    else if (element.tagName === "meta" && (name === "description" || name === "author"))
      facts[name] ??= attribute(element, "content") ?? "";
  }
  return facts;
}

/** The charset that a meta element or an XML declaration names in the first KiB, where the standard has it. */
function declaredEncoding(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.subarray(0, 1_024)).toString("latin1");
  return /<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)/i.exec(head)?.[1] ?? /^\s*<\?xml[^>]*\sencoding=["']([\w.:-]+)["']/.exec(head)?.[1];
}
