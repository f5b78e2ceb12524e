const setOf = (words: string): ReadonlySet<string> => new Set(words.split(" "));

/** Frequent in English, and words of no other language that is often written. */
const english = setOf(
  "the what which who whom whose where when why how does did doesn't didn't don't isn't should would could must can't can shall have had having " +
    "are were there these those this that with without from for about before after between into your you my our their his we they it its and not " +
    "much many long often tell explain give show describe please if whether been being any every each than",
);

/**
 * Frequent in other languages of Latin script, the English ones among them left out but for those that are rare in English questions. What is spelled with
 * other letters than English has needs no list.
 */
const foreign = setOf(
  "der die das den dem des ein eine einen einem einer ist sind waren hat haben wird werden wurde kann darf muss soll wie wer wo wann warum wieso welche welcher welches welchen " +
    "und oder nicht kein keine ohne mit vor nach von zu zum zur bei auf aus ich mich mir du er sie wir ihr mein meine sein ihre im vom " +
    "le la les un une du des est sont qui que quoi quel quelle quels quelles comment pourquoi quand combien et ou ne pas sans avec dans sur sous pour par au aux ce cette je il elle nous vous mon ma mes peut faut doit " +
    "el los las una unos unas es son fue quien cual cuando donde como cuanto cuantos cuantas y o sin con en por para del al se su mi puedo puede debe hay antes despues " +
    "lo gli chi che cosa quale quando dove perche quanto quanti e non senza di da nel nella della dello il posso deve " +
    "het een van wat wie waar waarom wanneer hoe hoeveel welke zijn niet geen zonder voor met op naar ik kan moet mag " +
    "os uma quem qual onde quantos quantas sem com em na da dos das nao pode deve " +
    "och att som vad vem var hur inte utan med till av jest kto gdzie kiedy dlaczego ile nie bez czy jak",
);

/**
 * Whether a question is in English, as far as its words show: letters of English alone, a word that is English, and none that is frequent elsewhere. Errs on the
 * side of no: the guards of `same-question.ts` know English, and take words of another language for what they are not.
 */
export function seemsEnglish(question: string): boolean {
  const letters = question.normalize("NFKC").match(/\p{L}/gu) ?? [];
  if (!letters.every((letter) => /[a-z]/i.test(letter))) return false;
  const words = question.toLowerCase().match(/[a-z0-9]+(?:['’]t)?/g) ?? [];
  const plain = words.map((word) => word.replace("’", "'"));
  return plain.some((word) => english.has(word)) && !plain.some((word) => foreign.has(word));
}
