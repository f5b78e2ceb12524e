import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joinedTermsOf, queryTermsOf, termsOf } from "./analysis.ts";
import { stem } from "./stem.ts";

const terms = (text: string): string[] => termsOf(text).map(({ term }) => term);

describe("termsOf", () => {
  it("lowers, folds and stems words, and tells where they stand", () => {
    expect(termsOf("The Cafés' blades")).toEqual([
      { term: "the", start: 0, end: 3 },
      { term: "cafe", start: 4, end: 9 },
      { term: "blade", start: 11, end: 17 },
    ]);
  });

  it("takes identifiers apart", () => {
    expect(terms("snake_case XREADGROUP v2.1 ½")).toEqual(["snake", "case", "xreadgroup", "v2", "1", "1", "2"]);
  });

  it("gives pairs of characters where words have no spaces", () => {
    expect(termsOf("東京都 日 Tokyo")).toEqual([
      { term: "東京", start: 0, end: 2 },
      { term: "京都", start: 1, end: 3 },
      { term: "日", start: 4, end: 5 },
      { term: "tokyo", start: 6, end: 11 },
    ]);
  });

  it("joins the same terms as it gives one by one, whatever the text", () => {
    for (const text of ["", "東京都 日 Tokyo", "a \u0301 b", "½ ", "The Cafés' blades"])
      expect(joinedTermsOf(text)).toBe(terms(text).join(" "));
    const unit = fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(32, 97, 0x301, 0x6771));
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 40 }), (units) => {
        const text = String.fromCharCode(...units);
        expect(joinedTermsOf(text)).toBe(terms(text).join(" "));
      }),
      { seed: 7, numRuns: 1_000 },
    );
  });

  it("gives terms that stand alone and spans within the text, whatever the text", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 }), (units) => {
        const text = String.fromCharCode(...units);
        const wrong = termsOf(text).filter(
          ({ term, start, end }) => !/^[\p{L}\p{N}\p{M}]+$/u.test(term) || start >= end || end > text.length,
        );
        expect(wrong).toEqual([]);
      }),
      { seed: 7, numRuns: 1_000 },
    );
  });
});

describe("queryTermsOf", () => {
  it("leaves out what nearly every text has, unless there is nothing else", () => {
    expect(queryTermsOf("what are the properties of the boundary layer")).toEqual(["properti", "boundari", "layer"]);
    expect(queryTermsOf("to be or not to be")).toEqual(["to", "be", "or", "not"]);
    expect(queryTermsOf("?!")).toEqual([]);
  });
});

describe("stem", () => {
  // The examples of Porter's paper, rule by rule.
  it.each(
    (
      "caresses caress ponies poni ties ti caress caress cats cat feed feed agreed agre plastered plaster bled bled motoring motor sing sing conflated conflat " +
      "troubled troubl sized size hopping hop tanned tan falling fall hissing hiss fizzed fizz failing fail filing file happy happi sky sky relational relat " +
      "conditional condit rational ration valenci valenc digitizer digit conformabli conform radicalli radic differentli differ vileli vile analogousli analog " +
      "vietnamization vietnam predication predic operator oper feudalism feudal decisiveness decis hopefulness hope callousness callous formaliti formal " +
      "sensitiviti sensit sensibiliti sensibl triplicate triplic formative form formalize formal electriciti electr electrical electr hopeful hope goodness good " +
      "revival reviv allowance allow inference infer airliner airlin gyroscopic gyroscop adjustable adjust defensible defens irritant irrit replacement replac " +
      "adjustment adjust dependent depend adoption adopt homologou homolog communism commun activate activ angulariti angular homologous homolog effective effect " +
      "bowdlerize bowdler probate probat rate rate cease ceas controll control roll roll"
    )
      .split(" ")
      .flatMap((word, index, all) => (index % 2 === 0 ? [[word, all[index + 1] ?? ""] as const] : [])),
  )("%s → %s", (word, expected) => {
    expect(stem(word)).toBe(expected);
  });
});

it("remembers words without the texts that they stood in", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const megabytesUsed = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const before = megabytesUsed();
  for (let index = 0; index < 16; index++) termsOf(`${"mill ".repeat(200_000)}${"race".repeat(4)}${index}`);
  expect(megabytesUsed() - before).toBeLessThan(4);
});
