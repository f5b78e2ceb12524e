/**
 * Removes what an answer must not carry out: a model that follows an instruction hidden in a document can put words of other documents into the
 * address of an image, which a client then loads by itself. Images never pass, nor do tags that do more than put text in form. A link passes when exactly it stands in a source and has no query
 * or fragment, which is where words travel.
 */
const stop = "\\s<>\"'`()\\[\\]{}|\\u3000-\\u30ff\\u3400-\\u9fff\\uac00-\\ud7af\\uff00-\\uffef";
/** Every repetition that may fail late is bounded: the text is a stranger's, and a search through it must take linear time. */
const label = "[\\p{L}\\p{N}-]{1,63}";
const url = new RegExp(
  [
    `[a-z][a-z0-9+.-]{0,30}:[\\\\/]{2,}[^${stop}]*`, // scheme://…
    `[\\\\/]{2}[^${stop}\\\\/.]{1,63}\\.[^${stop}]+`, // //host.name…
    `\\bwww\\.[^${stop}]+`,
    `\\b(?:mailto|data|javascript|vbscript|file|tel|sms|blob):[^${stop}]+`,
    `[\\p{L}\\p{N}._%+-]{1,64}@${label}(?:\\.${label}){1,8}`,
    `(?<![\\p{L}\\p{N}-])${label}(?:\\.${label}){1,8}(?::\\d{1,5})?/[^${stop}]*`, // host.name/path
  ].join("|"),
  "giu",
);

/** Addresses that are programs or documents by themselves. */
const runs = /^(?:javascript|vbscript|data|blob):/i;

/** Elements that load, run, ask for something or swallow what follows, even without an attribute; and comments. */
const activeTag =
  /^<(?:[!?]|\/?(?:script|style|iframe|frame|frameset|object|embed|applet|svg|math|form|input|button|select|option|textarea|link|meta|base|img|image|video|audio|source|track|picture|canvas|template|noscript|title|xmp|plaintext|noembed|noframes|marquee|dialog|html|head|body)(?![a-z0-9-]))/i;

export class LinkPolicy {
  readonly #allowed = new Set<string>();
  /** Links and images that were removed so far. */
  removed = 0;

  /** @param texts of the sources */
  constructor(texts: readonly string[]) {
    for (const text of texts) {
      for (const [link] of text.matchAll(url)) if (!/[?#]/.test(link) && !runs.test(link)) this.#allowed.add(trimEnd(link));
    }
  }

  /** @param text that no link, tag or image crosses the ends of */
  clean(text: string): string {
    return (
      decodeEntities(text)
        .replace(/!\[([^\]]*)\](?:\([^)]*(?:\)|$)|\[[^\]]*\])/g, (_, alt: string) => this.#drop(alt))
        // One with brackets in its text, or that ends elsewhere: at most a link.
        .replace(/!\[/g, "! [")
        .replace(/\]\(\s*<?([^)\s>]*)>?[^)]*(?:\)|$)/g, (link, to: string) => (this.#allowed.has(trimEnd(to)) ? link : this.#drop("]")))
        .replace(/(\]:\s*)<?(\S*[:/.\\&]\S*)/g, (link, mark: string, to: string) =>
          this.#allowed.has(trimEnd(to)) ? link : this.#drop(mark),
        )
        .replace(/<[a-z/!?][^>]*(?:>|$)/gi, (tag) => (this.#isHarmless(tag) ? tag : this.#drop("")))
        .replace(url, (link) => {
          const trimmed = trimEnd(link);
          return this.#allowed.has(trimmed) ? link : this.#drop(`(link removed)${link.slice(trimmed.length)}`);
        })
    );
  }

  #isHarmless(tag: string): boolean {
    return (!/[=:]|\/\//.test(tag) && !activeTag.test(tag)) || this.#allowed.has(tag.slice(1, -1));
  }

  #drop(rest: string): string {
    this.removed++;
    return rest;
  }
}

function trimEnd(link: string): string {
  return link.replace(/[.,;:!?*_~\\]+$/, "");
}

/** Spellings of the characters that make a link, which a renderer would turn into them. */
function decodeEntities(text: string): string {
  return text
    .replace(/&#(?:x([0-9a-f]{1,6})|(\d{1,7}));?/gi, (entity, hex?: string, decimal?: string) => {
      const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
      return code > 31 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : entity;
    })
    .replace(/&(colon|sol|period|commat|excl|lbrack|lsqb|rsqb|lpar|rpar|bsol|Tab|NewLine);/g, (_, name: string) => named[name] ?? "");
}

const named: Readonly<Record<string, string>> = {
  ...{ colon: ":", sol: "/", period: ".", commat: "@", excl: "!", lbrack: "[", lsqb: "[", rsqb: "]", lpar: "(", rpar: ")", bsol: "\\" },
};
