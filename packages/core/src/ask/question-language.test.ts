import { describe, expect, it } from "vitest";
import { seemsEnglish } from "./question-language.ts";
import { differencesOf } from "./same-question.ts";

/** Near misses in languages that the guards do not know: years, negation, entities, units, roles, opposites. */
const nearMisses: readonly (readonly [string, string])[] = [
  // German, where "was", "in", "an", "am", "so", "will" and "also" are words of their own.
  ["Wie hoch war der Umsatz 2023?", "Wie hoch war der Umsatz 2024?"],
  ["Ist die Reise erstattbar?", "Ist die Reise nicht erstattbar?"],
  ["Was ist im Preis enthalten?", "Was ist im Preis nicht enthalten?"],
  ["Wie hoch ist der Turm in Metern?", "Wie hoch ist der Turm in Fuß?"],
  ["Was ist die Hauptstadt von Australien?", "Was ist die Hauptstadt von Österreich?"],
  ["Zahlt der Käufer dem Verkäufer?", "Zahlt dem Käufer der Verkäufer?"],
  ["Darf ich vor dem Essen schwimmen?", "Darf ich nach dem Essen schwimmen?"],
  ["Wie schalte ich den Alarm ein?", "Wie schalte ich den Alarm aus?"],
  ["Fahren am Sonntag Busse?", "Fahren an Sonntag Busse?"],
  ["Kommen Sie morgen?", "Kommen sie morgen?"],
  ["Was kostet Bus 7 in Bonn?", "Was kostet Bus 7 an Bonn?"],
  ["Hat Anna Tom gesehen?", "Hat Tom Anna gesehen?"],
  ["Wer will was?", "Wer will also was?"],
  ["Arbeiten Frauen hier?", "Arbeiten keine Frauen hier?"],
  // French
  ["Quel était le chiffre d'affaires en 2023 ?", "Quel était le chiffre d'affaires en 2024 ?"],
  ["Le contrat est-il valable ?", "Le contrat n'est-il pas valable ?"],
  ["Quelle est la capitale de l'Autriche ?", "Quelle est la capitale de l'Australie ?"],
  ["Combien pèse-t-il en kilos ?", "Combien pèse-t-il en livres ?"],
  ["Peut-on nager avant le repas ?", "Peut-on nager sur le repas ?"],
  ["Peut-on payer avec une carte ?", "Peut-on payer sans une carte ?"],
  ["Comment activer les alertes ?", "Comment désactiver les alertes ?"],
  ["Paul aime Marie ?", "Marie aime Paul ?"],
  ["Qui paie le vendeur ?", "Qui le vendeur paie ?"],
  ["On a pain ou vin ?", "On a pain et vin ?"],
  // Spanish
  ["¿Cuáles fueron los ingresos en 2023?", "¿Cuáles fueron los ingresos en 2024?"],
  ["¿Es reembolsable?", "¿No es reembolsable?"],
  ["¿Cuál es la capital de Austria?", "¿Cuál es la capital de Australia?"],
  ["¿Cuánto mide en metros?", "¿Cuánto mide en pies?"],
  ["¿Puedo pagar con tarjeta?", "¿Puedo pagar sin tarjeta?"],
  ["¿Debo comer antes de nadar?", "¿Debo comer después de nadar?"],
  ["Es Madrid mas grande que Lisboa?", "Es Lisboa mas grande que Madrid?"],
  ["Ha pagado el cliente?", "He pagado el cliente?"],
  ["Hay vino sin alcohol?", "Hay vino con alcohol?"],
  ["¿Quién compró la empresa Sol?", "¿Quién compró la empresa Luna?"],
  // Chinese
  ["2023年的收入是多少？", "2024年的收入是多少？"],
  ["可以退款吗？", "不可以退款吗？"],
  ["奥地利的首都是什么？", "澳大利亚的首都是什么？"],
  ["它有多少米高？", "它有多少英尺高？"],
  ["饭前可以游泳吗？", "饭后可以游泳吗？"],
  ["买方付钱给卖方吗？", "卖方付钱给买方吗？"],
  ["如何打开警报？", "如何关闭警报？"],
  ["谁认识李明？", "李明认识谁？"],
  ["三天内可以取消吗？", "五天内可以取消吗？"],
  // Dutch, Portuguese, Polish, Japanese, Russian
  ["Wat is de prijs in of buiten Amsterdam?", "Wat is de prijs in Amsterdam?"],
  ["Is Jan in Parijs?", "Is Jan of Parijs?"],
  ["Qual foi a receita em 2023?", "Qual foi a receita em 2024?"],
  ["Ile kosztuje bilet do Krakowa?", "Ile kosztuje bilet z Krakowa?"],
  ["返金できますか？", "返金できませんか？"],
  ["Можно ли вернуть товар?", "Нельзя ли вернуть товар?"],
  // One of another language beside an English one
  ["What is the price in Bonn?", "Was ist the price in Bonn?"],
];

describe("in another language than English", () => {
  it.each(nearMisses)("%s ≠ %s", (a, b) => {
    expect(differencesOf(a, b)).not.toEqual([]);
    expect(differencesOf(b, a)).not.toEqual([]);
  });

  it.each([
    ["Was ist die Hauptstadt?", "Was ist  die Hauptstadt"],
    ["奥地利的首都是什么？", "奥地利的首都是什么"],
    ["Quelle est la capitale de l'Autriche ?", "Quelle est la capitale de l'Autriche"],
  ])("%s = %s", (a, b) => {
    expect(differencesOf(a, b)).toEqual([]);
  });
});

it.each(["How do I change my password?", "What is the max upload size?", "can i restore it within 30 days"])(
  "%s is English",
  (question) => {
    expect(seemsEnglish(question)).toBe(true);
  },
);
