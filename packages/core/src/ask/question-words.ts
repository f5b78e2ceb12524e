import { stem } from "../stem.ts";

/** The words that `same-question.ts` knows. English; questions in other languages are compared by their words as they are. */

const setOf = (words: string): ReadonlySet<string> => new Set(words.split(" "));

/** Words of grammar and politeness, whose presence changes nothing that the other guards do not see. */
export const grammar = setOf(
  "a an the i me my mine myself we us our ours you your yours he him she it its they them their theirs his her this that these those there here " +
    "be am is are was were been being do does did done doing have has had having can could may might must shall should will would ought " +
    "of in on at for to with about as into onto upon via and if whether so then also too some any one thing things " +
    "what which who whom whose when where why how " +
    "exactly actually really basically specifically please ever simply kindly currently thanks thank hi hello",
);

export const negations = setOf("not no never without none nobody nothing neither nor nowhere hardly non lack lacks lacking cannot");
export const exceptions = setOf("except excepting excluding unless besides");

/** Of yes-or-no and other questions: what one may, what one must. */
export const permissions = setOf("can could may might allow allowed permitted permissible possible able");
export const obligations = setOf(
  "must should shall need needed needs required require requires necessary mandatory obligatory compulsory ought obliged supposed",
);

export const pastWords = setOf("was were did had");
export const futureWords = setOf("will shall");
export const presentWords = setOf("am is are do does has have can could may might must should would need");

export const irregularPasts = setOf(
  "wrote bought paid sent made built began left held ran took gave sold kept lost won chose found grew knew saw went thought brought taught caught became spoke broke drove ate led met spent fell rose told said",
);
/** Before a noun: what follows "what" in an indirect question about an object ("tell me what the cache holds"). */
export const determiners = setOf("the a an my your our his her its their this that these those i we you it they he she");
export const auxiliaries = setOf("am is are was were do does did has have had can could may might must shall should will would");

/** Prepositions whose object has a part of its own. */
export const roleGivers = setOf("from by before after than against over under with into onto until since");

/** A clause that begins so is a question. */
export const questionBegins =
  /^(?:what|which|who|whom|whose|where|when|why|how|by (?:what|which|whom)|(?:in|on|at|for|with) (?:what|which|whom|how)|is|are|am|was|were|do|does|did|can|could|may|might|must|should|shall|will|would|has|have|had)\b/;

/** Words that mean the same in a question, each group under its first. */
const groups = [
  ...[
    "need required require requires necessary mandatory obligatory compulsory needed needs",
    "allow allowed permit permitted permissible permits allows",
  ],
  ...[
    "all every each per",
    "kind type sort kinds types sorts",
    "max maximum maximal",
    "min minimum minimal",
    "big large",
    "small little tiny",
    "fast quick quickly rapid rapidly",
  ],
  ...[
    "buy purchase",
    "begin start commence",
    "end finish conclude",
    "delete remove erase",
    "show display",
    "fix repair mend",
    "get obtain acquire",
    "help assist",
    "choose select pick",
  ],
  ...[
    "change modify alter",
    "cost price",
    "car automobile",
    "doctor physician",
    "film movie",
    "author writer",
    "store shop",
    "phone telephone",
    "photo photograph picture",
  ],
  ...[
    "config configuration configure",
    "document doc docs documents",
    "database db databases",
    "repository repo repositories",
    "info information",
    "email e-mail emails",
  ],
  ...[
    "holiday vacation",
    "illness sickness disease",
    "country nation",
    "kid child children",
    "person people",
    "answer reply respond",
    "error fault",
    "wrong incorrect",
    "correct right",
  ],
  ...[
    "reside live",
    "rise increase rose risen",
    "fall decrease decline fell fallen",
    "frequent often",
    "near close",
    "height high",
    "age old",
    "depth deep",
    "width wide",
    "weight heavy weigh weighs",
    "distance far",
    "enough sufficient",
    "attempt try",
    "happen occur",
    "firm company business",
    "salary wage",
    "application app",
  ],
  ...[
    "license licence",
    "program programme",
    "gray grey",
    "check cheque",
    "tire tyre",
    "aluminum aluminium",
    "jewelry jewellery",
    "defense defence",
    "storey story",
  ],
  ...[
    "percent percentage pct",
    "km kilometer kilometre kilometers kilometres kms",
    "m meter metre meters metres",
    "cm centimeter centimetre centimeters centimetres",
    "mm millimeter millimetre millimeters millimetres",
  ],
  ...[
    "kg kilogram kilograms kilo kilos kilogramme",
    "g gram grams gramme",
    "mg milligram milligrams",
    "lb lbs pound pounds",
    "oz ounce ounces",
    "mile miles",
    "foot ft feet",
    "inch inches",
  ],
  ...[
    "l liter litre liters litres",
    "ml milliliter millilitre milliliters millilitres",
    "gallon gallons",
    "kb kilobyte kilobytes",
    "mb megabyte megabytes",
    "gb gigabyte gigabytes",
    "tb terabyte terabytes",
  ],
  ...[
    "ms millisecond milliseconds",
    "seconds sec secs",
    "minute minutes mins",
    "hour hours hr hrs",
    "day days",
    "week weeks",
    "month months",
    "year years yr yrs",
  ],
  ...["celsius °c", "fahrenheit °f", "dollar dollars usd", "euro euros eur", "pm p.m"],
  ...[
    "january jan",
    "february feb",
    "march mar",
    "april apr",
    "june jun",
    "july jul",
    "august aug",
    "september sep sept",
    "october oct",
    "november nov",
    "december dec",
  ],
  ...[
    "write wrote written",
    "buy bought",
    "pay paid",
    "send sent",
    "make made",
    "build built",
    "begin began begun",
    "hold held",
    "run ran",
    "take took taken",
    "give gave given",
  ],
  ...[
    "sell sold",
    "keep kept",
    "lose lost",
    "win won",
    "choose chose chosen",
    "find found",
    "man men",
    "woman women",
    "grow grew grown",
    "know knew known",
    "see saw seen",
    "go went gone",
  ],
  ...[
    "think thought",
    "bring brought",
    "teach taught",
    "catch caught",
    "become became",
    "speak spoke spoken",
    "break broke broken",
    "drive drove driven",
    "eat ate eaten",
    "lead led",
    "meet met",
    "spend spent",
  ],
  ...[
    "1st first",
    "2nd second",
    "3rd third",
    "4th fourth",
    "5th fifth",
    "6th sixth",
    "7th seventh",
    "8th eighth",
    "9th ninth",
    "10th tenth",
  ],
];

const numberWords =
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split(
    " ",
  );

let canonical: ReadonlyMap<string, string> | undefined;

/** What a word, or its stem, is counted as. Their stems are found at the first question: most processes that load this have none. */
export function canonicalOf(wordOrStem: string): string | undefined {
  canonical ??= canonicalWords();
  return canonical.get(wordOrStem);
}

function canonicalWords(): ReadonlyMap<string, string> {
  return new Map([
    ...groups.flatMap((group) => {
      const words = group.split(" ");
      return words.map((word) => [stem(word), words[0] ?? word] as const);
    }),
    ...groups.flatMap((group) => {
      const words = group.split(" ");
      return words.map((word) => [word, words[0] ?? word] as const);
    }),
    ...numberWords.flatMap((word, value) => (word === "one" ? [] : [[word, String(value)] as const])),
    ...[
      ["thirty", "30"] as const,
      ["forty", "40"] as const,
      ["fifty", "50"] as const,
      ["sixty", "60"] as const,
      ["ninety", "90"] as const,
      ["hundred", "100"] as const,
    ],
  ]);
}

/** What is said around a question. Taken off its beginning again and again. */
export const wrappers: readonly RegExp[] = [
  /^(?:please|hi|hello|hey|ok|okay|so|well|now|sorry|excuse me|quick question|question)\b[\s,:!.-]*/,
  /^(?:can|could|would|will) you (?:please |kindly |maybe |perhaps |possibly )?(?:tell|explain|show|describe|clarify|advise|remind|inform)(?: to)?(?: me| us)?(?: please)?(?: about| on)?\s/,
  /^(?:can|could) (?:someone|anyone|anybody|somebody) (?:please )?(?:tell|explain|show|describe|clarify)(?: to)?(?: me| us)?\s/,
  /^(?:do|does|would|did) (?:you|anyone|anybody|someone) (?:happen to )?know\s/,
  /^(?:i|we)(?: would| d|'d)? (?:like|love|want|need|wish|have) to (?:know|understand|learn|find out|ask|hear)(?: about)?[\s:,]+/,
  /^(?:i|we)(?: am| was| are| were|'m|'re) (?:just )?(?:wondering|curious|asking|not sure|unsure|trying to (?:find out|understand|figure out|learn)|interested in (?:knowing|finding out|learning))(?: about)?[\s:,]+/,
  /^(?:tell|remind|show|let)(?: me| us)(?: know)?(?: please)?(?: about)?\s/,
  /^(?:explain|describe|clarify)(?: to me| to us)?\s/,
  /^(?:any idea|any clue|do you have any idea|have you any idea|i have no idea|i wonder|i ask myself)[\s,:]+/,
];

/** What a question asks for, by how it begins; the first that fits. What a pattern takes is no longer a word of the question. */
export const kinds: readonly (readonly [kind: string, begins: RegExp])[] = [
  ["what", /^how much (?=.*\b(?:costs?|charged?|pay|paid|price|fees?)\b)/],
  ["duration", /^(?:for how long|how long|how much time|what (?:is|was) the (?:duration|length) of)\b/],
  ["frequency", /^(?:how (?:often|frequently|regularly)|what (?:is|was) the frequency of|with what frequency|at what intervals?)\b/],
  [
    "count",
    /^(?:how (?:many|much)|what (?:is|was|are) the (?:total )?(?:number|amount|quantity|count) of|what (?:number|amount|quantity) of|(?:the )?(?:number|amount) of)\b/,
  ],
  [
    "when",
    /^(?:when|at what time|at which time|what time|on (?:what|which) date|what date|what (?:is|was) the (?:date|time) (?:of|on which|when|at which))\b/,
  ],
  [
    "where",
    /^(?:where|(?:in|at) (?:what|which) (?:place|location)|(?:what|which) (?:place|location)|what (?:is|was) the (?:location|place) of)\b/,
  ],
  ["why", /^(?:why|how come|for (?:what|which) reasons?|what (?:is|was|are|were) the reasons? (?:for|that|why|behind|of))\b/],
  ["who", /^(?:who|whom|whose|by whom|(?:which|what) person|what (?:is|was) the name of the person (?:who|that))\b/],
  [
    "how",
    /^(?:in (?:what|which) (?:way|manner)|by what means|(?:what|which) (?:is|are|would be) the (?:way|ways|steps?|procedure|process|method|instructions?) (?:to|for|of)|(?:the )?(?:steps?|way|ways|procedure|instructions?) (?:to|for)|what steps (?:are (?:there|needed|required) to|do (?:i|we|you) (?:have to )?take to|should (?:i|we|you) take to)|what (?:do|must|should|can) (?:i|we|you|one) (?:have to |need to )?do (?:in order )?to|how (?!(?:high|tall|far|old|early|late|large|big|small|hot|cold|fast|slow|deep|wide|near|close|thick|heavy|good|bad|well|soon|distant|strong|quickly)\b)(?:(?:do|can|could|should|would) (?:i|we|you|one) go about|to go about)?)/,
  ],
  [
    "whether",
    /^(?:(?:if|whether)(?: or not)?|is it (?:possible|true) (?:to|for|that)|(?=(?:is|are|am|was|were|do|does|did|can|could|may|might|must|should|shall|will|would|has|have|had)\b))/,
  ],
  ["what", /^(?:list|name|give(?: me)?|what|which|)/],
];
