import { expect, test } from "vitest";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseHtml } from "./html.ts";

const blocks = async (html: string): Promise<[string, string][]> => blocksOf(await parseHtml(new TextEncoder().encode(html)));

describeParser(
  "html",
  parseHtml,
  new TextEncoder().encode(
    "<title>T</title><main><h1>Hay</h1><p>A <b>needle</b>.<ul><li>one<li>two</ul><table><tr><td>a<td>b</table></main>",
  ),
);

test("what is marked as main is all there is to read, with the page's title above it", async () => {
  const html = `<header><h1>Guide</h1>Log in</header><nav>Menu</nav><main><nav>On this page</nav><h2>Start</h2><p>Turn the <em>key</em>.</p>
    <aside>Tip: oil it.</aside><footer>Written in May</footer></main><div>Related pages</div><footer>Imprint</footer>`;
  expect(await blocks(html)).toEqual([
    ["heading 1", "Guide"],
    ["heading 2", "Start"],
    ["paragraph", "Turn the key."],
    ["paragraph", "Tip: oil it."],
    ["paragraph", "Written in May"],
  ]);
});

test("a page without main loses what stands around its text, and nothing else", async () => {
  const html = `<body><nav>Menu</nav><div role="navigation">More menu</div><form><h1>Order</h1><p>All pages of some sites are a form.</p></form>
    <article>Story<aside>Its margin</aside><footer>By an author</footer></article><div hidden>Not shown</div><aside>Adverts</aside><footer>Imprint</footer>`;
  expect((await blocks(html)).map(([, text]) => text)).toEqual([
    "Order",
    "All pages of some sites are a form.",
    "Story",
    "Its margin",
    "By an author",
  ]);
});

test("a page that would be left with nothing is read whole", async () => {
  expect(await blocks("<main hidden>App</main><aside>All the text there is</aside>")).toEqual([
    ["paragraph", "App"],
    ["paragraph", "All the text there is"],
  ]);
  expect(await blocks("<main></main><p>Beside an empty main</p>")).toEqual([["paragraph", "Beside an empty main"]]);
});

test("tables are lines of cells; one that only lays out the page keeps the structure inside it", async () => {
  expect(
    await blocks(
      "<table><caption>Prices</caption><tr><th>Item<th>Price</tr><tr><td><p>Tea</p><p>green</p><td>3</tr><tr><td><td>4</tr></table>",
    ),
  ).toEqual([["table", "Prices\nItem | Price\nTea green | 3\n| 4"]]);
  expect(await blocks("<table><tr><td><h2>News</h2>Rain.<td><table><tr><td>a<td>b</table></table>")).toEqual([
    ["heading 2", "News"],
    ["paragraph", "Rain."],
    ["table", "a | b"],
  ]);
  expect(await blocks("<ul><li><h3>Card</h3>Text<pre>x  = 1\n</pre></ul>")).toEqual([
    ["heading 3", "Card"],
    ["paragraph", "Text"],
    ["code", "x  = 1"],
  ]);
});

test("the declared charset is used, title, author and description are facts", async () => {
  const html = Buffer.from(
    '<meta charset=windows-1251><title>\xcc\xe8\xf0</title><meta name=author content="\xdf"><p>\xcc\xe8\xf0',
    "latin1",
  );
  expect(await parseHtml(new Uint8Array(html))).toMatchObject({
    title: "Мир",
    text: "Мир",
    metadata: { author: "Я", encoding: "windows-1251" },
  });
});

test("a page may nest deeper than any stack", async () => {
  const depth = 3_000;
  expect((await blocks(`${"<div><ul><li>".repeat(depth)}deep`)).at(-1)?.[1]).toContain("deep");
});
