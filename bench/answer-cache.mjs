/** What the semantic answer cache would get wrong, and what it saves, on pairs of questions made for it. Evidence cannot help here: there is none. */
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { limits } from "@millrace/core";
import { judgePairs, taken } from "./answer-cache/pairs.mjs";
import { updateReadme } from "./report/readme.mjs";
import { conditions, conditionsLine, record } from "./report/results.mjs";
import { table } from "./report/table.mjs";

export const summary = "false hits and hits of the semantic answer cache, by the floor of similarity";

const floors = Array.from({ length: 15 }, (_, index) => Math.round((0.7 + index * 0.02) * 100) / 100);

export async function run(args) {
  const { values } = parseArgs({ args, options: { quick: { type: "boolean" }, list: { type: "boolean" } } });
  const judged = await judgePairs();
  const found = { conditions: conditions(), floor: limits.answerSimilarityMin, curve: floors.map((floor) => shares(judged, floor)) };
  const atFloor = shares(judged, limits.answerSimilarityMin);
  const markdown = report(found, atFloor, judged);
  console.log(markdown);
  if (values.list) list(judged);
  const quick = values.quick === true;
  console.log(record({ name: "answer-cache", data: { ...found, atFloor }, markdown }, quick ? tmpdir() : undefined).join("\n"));
  if (!quick) updateReadme("answer-cache", readme(judged, atFloor));
}

/** Shares, 0 to 1, of pairs taken for one question. */
function shares({ nearMisses, paraphrases }, floor) {
  const of = (pairs, options) => taken(pairs, floor, options).length / pairs.length;
  const heldOut = (pairs) => pairs.filter(({ part }) => part === "held-out");
  return {
    floor,
    falseHits: of(nearMisses),
    falseHitsHeldOut: of(heldOut(nearMisses)),
    hits: of(paraphrases),
    hitsHeldOut: of(heldOut(paraphrases)),
    falseHitsWithoutGuards: of(nearMisses, { guards: false }),
    hitsWithoutGuards: of(paraphrases, { guards: false }),
  };
}

const percent = (share) => `${(share * 100).toFixed(1)} %`;

function report({ curve, conditions: on }, atFloor, { nearMisses, paraphrases }) {
  const rows = [...curve, atFloor]
    .toSorted((a, b) => a.floor - b.floor)
    .filter(({ floor }, index, all) => all[index - 1]?.floor !== floor)
    .map((each) => [
      `${each.floor.toFixed(2)}${each.floor === atFloor.floor ? " (set)" : ""}`,
      ...[each.falseHits, each.falseHitsHeldOut, each.hits, each.hitsHeldOut, each.falseHitsWithoutGuards, each.hitsWithoutGuards].map(
        percent,
      ),
    ]);
  const kinds = [...new Set(nearMisses.map(({ kind }) => kind))].map((kind) => {
    const pairs = nearMisses.filter((pair) => pair.kind === kind);
    const near = taken(pairs, atFloor.floor, { guards: false }).length;
    return [kind, pairs.length, near, taken(pairs, atFloor.floor).length];
  });
  return [
    `${conditionsLine(on)}; ${nearMisses.length} near misses, ${paraphrases.length} paraphrases, half of each held out.`,
    table(["floor", "false hits", "held out", "hits", "held out", "false hits, no guards", "hits, no guards"], rows),
    `At the floor of ${atFloor.floor}, near misses by what differs:`,
    table(["differs in", "pairs", "near enough", "taken"], kinds),
  ].join("\n\n");
}

function readme({ nearMisses, paraphrases }, { floor, falseHits, hits, hitsHeldOut, falseHitsWithoutGuards }) {
  return (
    `Of ${nearMisses.length} near misses ${percent(falseHits)} would be taken for the same question (by similarity alone ${percent(falseHitsWithoutGuards)}), ` +
    `of ${paraphrases.length} paraphrases ${percent(hits)} (${percent(hitsHeldOut)} of those the guards were not made with), at the floor of ${floor}.`
  );
}

function list({ nearMisses, paraphrases }) {
  const show = ({ similarity, differences, a, b }) =>
    console.log(`  ${similarity.toFixed(3)} ${differences.join(" ") || "-"}\n    ${a}\n    ${b}`);
  console.log("near misses taken at 0.7, of the tuning part:");
  for (const pair of taken(nearMisses, 0.7).filter(({ part }) => part === "tuning")) show(pair);
  console.log("paraphrases not taken at 0.7, of the tuning part:");
  const hits = new Set(taken(paraphrases, 0.7));
  for (const pair of paraphrases.filter((each) => each.part === "tuning" && !hits.has(each))) show(pair);
}
