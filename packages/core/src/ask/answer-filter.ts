import { limits } from "../limits.ts";
import { LinkPolicy } from "./links.ts";
import { quoteFor } from "./quote.ts";
import type { AnswerSource } from "./source.ts";

export interface Citation {
  readonly n: number;
  readonly documentId: string;
  readonly source: string;
  readonly page?: number;
  readonly chunkId: string;
  /** Verbatim from the chunk. */
  readonly quote: string;
}

export interface FilteredText {
  readonly text: string;
  /** Sources that this text is the first to cite. */
  readonly citations: readonly Citation[];
}

/**
 * Lets a model's answer through as it comes, checked: citations of sources that do not exist and links that are in no source are taken out. Text
 * is held back only from where a citation, a link or a tag may have begun to where it ends.
 */
export class AnswerFilter {
  readonly citations: Citation[] = [];
  /** Everything that came through. */
  text = "";
  /** Citations of sources that there are not. */
  falseCitations = 0;
  readonly #sources: readonly AnswerSource[];
  readonly nonce: string;
  readonly #links: LinkPolicy;
  #held = "";
  /** The backticks that began the code which the text is in; empty outside of code. */
  #code = "";

  constructor(sources: readonly AnswerSource[], nonce: string) {
    this.#sources = sources;
    this.nonce = nonce;
    this.#links = new LinkPolicy(sources.map(({ text }) => text));
  }

  /** Links and images that were removed. */
  get removedLinks(): number {
    return this.#links.removed;
  }

  push(text: string): FilteredText {
    this.#held += text;
    const released: FilteredText[] = [];
    while (this.#held.length > limits.answerHeldCharsMax) released.push(this.#release(limits.answerHeldCharsMax));
    const end = completeUntil(this.#held);
    if (end > 0) released.push(this.#release(end));
    return joined(released);
  }

  /** What was held back. */
  end(): FilteredText {
    return this.#held === "" ? joined([]) : this.#release(this.#held.length);
  }

  #release(end: number): FilteredText {
    const clean = this.#links.clean(this.#held.slice(0, end).replaceAll(this.nonce, ""));
    this.#held = this.#held.slice(end);
    const before = this.citations.length;
    const text = clean
      .split(/(`+)/)
      .map((part) => this.#part(part))
      .join("");
    return { text, citations: this.citations.slice(before) };
  }

  /** A piece that is code or text, or the backticks between them. */
  #part(part: string): string {
    let checked = part;
    if (part.startsWith("`")) {
      if (this.#code === "") this.#code = part;
      else if (this.#code === part) this.#code = "";
    } else if (this.#code === "") {
      checked = part.replace(
        /(\s?)[[【]\^?(\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)(?:†[^\]】]*)?[\]】]/g,
        (_, space: string, list: string, at: number) => {
          const valid = numbersOf(list).filter((n) => this.#cite(n, this.text + part.slice(0, at)));
          return valid.length === 0 ? "" : `${space}${valid.map((n) => `[${n}]`).join("")}`;
        },
      );
    }
    this.text += checked;
    return checked;
  }

  #cite(n: number, textBefore: string): boolean {
    const source = this.#sources[n - 1];
    if (source === undefined) {
      this.falseCitations++;
      return false;
    }
    if (!this.citations.some((citation) => citation.n === n)) {
      const statement =
        textBefore
          .slice(-600)
          .split(/(?<=[.!?。！？])\s+|\n/)
          .at(-1) ?? "";
      this.citations.push(citationOf(source, statement));
    }
    return true;
  }
}

function joined(parts: readonly FilteredText[]): FilteredText {
  return { text: parts.map(({ text }) => text).join(""), citations: parts.flatMap(({ citations }) => citations) };
}

export function citationOf(source: AnswerSource, statement: string): Citation {
  const { n, documentId, chunkId, page } = source;
  return {
    n,
    documentId,
    source: source.source,
    ...(page === undefined ? {} : { page }),
    chunkId,
    quote: quoteFor(statement, source.text),
  };
}

/** "1, 3-5" -> 1, 3, 4, 5 */
function numbersOf(list: string): number[] {
  return list.split(/[,;]/).flatMap((part) => {
    const [from = 0, to = from] = part.split(/[–-]/).map(Number);
    return to < from || to - from > 50 ? [from, to] : Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

/** After these a link cannot go on. */
const boundary = /[\s\u3001-\u30ff\u3400-\u9fff\uac00-\ud7af\uff01-\uffef]/;
/** A link's address, a reference, a tag or a citation that has begun and not ended; found at the end of a text. */
const open = /\]\([^)]*$|\]:\s*\S*$|<[a-z/!?][^>]*$|[[【]\^?[\d\s,;–-]*$|!\[[^\]\n]{0,200}\]?$/i;

/** How much of the text, from its start, is complete. */
function completeUntil(text: string): number {
  let end = text.length;
  for (;;) {
    while (end > 0 && !boundary.test(text[end - 1] ?? "")) end--;
    const begun = text.slice(0, end).search(open);
    if (begun === -1) return end;
    end = begun;
  }
}
