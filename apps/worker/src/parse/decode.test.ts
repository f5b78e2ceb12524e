import { describe, expect, test } from "vitest";
import { decodeText } from "./decode.ts";

/** Bytes of real sentences, written by the codecs of another language's library. */
const samples: Readonly<Record<string, { text: string; base64: string }>> = {
  shift_jis: {
    text: "会議の議事録です。来週の月曜日に東京で打ち合わせを行います。資料は事前に配布してください。",
    base64: "ie+LY4LMi2OOlphegsWCt4FCl4iPVILMjI6XapP6gsmTjIuegsWRxYK/jYeC7YK5gvCNc4KigtyCt4FCjpGXv4LNjpaRT4LJlHqVeoK1gsSCrYK+grOCooFC",
  },
  "euc-jp": {
    text: "会議の議事録です。来週の月曜日に東京で打ち合わせを行います。資料は事前に配布してください。",
    base64: "svG1xKTOtcS79s+/pMekuaGjzei9taTOt+7Ny8b8pMvF7LX+pMfCx6TBueek76S7pPK51KSkpN6kuaGju/HOwaTPu/bBsKTLx9vJ26S3pMakr6TApLWkpKGj",
  },
  "iso-2022-jp": {
    text: "会議の議事録です。来週の月曜日に東京で打ち合わせを行います。",
    base64: "GyRCMnE1RCRONUQ7dk8/JEckOSEjTWg9NSRON25NS0Z8JEtFbDV+JEdCRyRBOWckbyQ7JHI5VCQkJF4kOSEjGyhC",
  },
  gb18030: {
    text: "本公司将于下周一在北京召开年度会议，请各部门提前准备好相关材料。",
    base64: "sb65q8u+vavT2s/C1tzSu9TasbG+qdXZv6rE6rbIu+HS6aOsx+u497K/w8XM4cew17yxuLrDz+C52LLEwc+how==",
  },
  big5: {
    text: "本公司將於下週一在臺北召開年度會議，請各部門提前準備好相關資料。",
    base64: "pbukvaVxsU6p86RVtmekQKZiu0+lX6Vstn2mfqvXt3zEs6FBvdCmVbOhqvm0o6tlt8ezxqZurNvD9rjqrsahQw==",
  },
  "euc-kr": {
    text: "다음 주 월요일에 서울에서 회의를 개최합니다. 자료를 미리 준비해 주시기 바랍니다.",
    base64: "tNnAvSDB1iC/+b/kwM+/oSC8rb/vv6G8rSDIuMDHuKYgsLPD1sfVtM+02S4gwNq34bimILnMuK4gwdi68cfYIMHWvcOx4iC52bb4tM+02S4=",
  },
  "windows-1251": {
    text: "Заседание совета состоится в понедельник. Просим всех участников подготовить необходимые документы.",
    base64:
      "x+Dx5eTg7ejlIPHu4uXy4CDx7vHy7ujy8f8g4iDv7u3l5OXr/O3o6i4gz/Du8ejsIOLx5fUg8/fg8fLt6Oru4iDv7uTj7vLu4ujy/CDt5e7h9e7k6Oz75SDk7urz7OXt8vsu",
  },
  "koi8-r": {
    text: "Заседание совета состоится в понедельник. Просим всех участников подготовить необходимые документы.",
    base64:
      "+sHTxcTBzsnFINPP18XUwSDTz9PUz8nU09Eg1yDQz87FxMXM2M7Jyy4g8NLP08nNINfTxcgg1d7B09TOycvP1yDQz8THz9TP18nU2CDOxc/CyM/Eyc3ZxSDEz8vVzcXO1Nku",
  },
  "windows-1252": {
    text: "Die Prüfung der Verträge für das nächste Jahr – „größere Änderungen“ eingeschlossen – beginnt im März.",
    base64:
      "RGllIFBy/GZ1bmcgZGVyIFZlcnRy5GdlIGb8ciBkYXMgbuRjaHN0ZSBKYWhyIJYghGdy9t9lcmUgxG5kZXJ1bmdlbpMgZWluZ2VzY2hsb3NzZW4gliBiZWdpbm50IGltIE3kcnou",
  },
  "windows-1250": {
    text: "Příští schůze se koná v pondělí. Žádáme všechny účastníky, aby připravili potřebné dokumenty.",
    base64: "UPjtmnTtIHNjaPl6ZSBzZSBrb27hIHYgcG9uZOxs7S4gjuFk4W1lIHaaZWNobnkg+uhhc3Ru7Wt5LCBhYnkgcPhpcHJhdmlsaSBwb3T4ZWJu6SBkb2t1bWVudHku",
  },
  "iso-8859-7": {
    text: "Η επόμενη συνεδρίαση θα γίνει τη Δευτέρα στην Αθήνα. Παρακαλούμε ετοιμάστε τα έγγραφα.",
    base64: "xyDl8Pzs5e3nIPP17eXk8d/h8+cg6OEg49/t5ekg9OcgxOX19N3x4SDz9OftIMHo3u3hLiDQ4fHh6uHr7/3s5SDl9O/p7Nzz9OUg9OEg3ePj8eH24S4=",
  },
};

describe("what the letters look like decides", () => {
  for (const [encoding, { text, base64 }] of Object.entries(samples)) {
    test(encoding, () => {
      expect(decodeText(new Uint8Array(Buffer.from(base64, "base64")))).toEqual({ text, encoding });
    });
  }
});

test("UTF-16 is known by its mark, and without one by its zero bytes", () => {
  const bytes = new Uint8Array(Buffer.from("Größe und Gewicht", "utf16le"));
  expect(decodeText(bytes)).toEqual({ text: "Größe und Gewicht", encoding: "utf-16le" });
  const swapped = new Uint8Array(Buffer.from(Buffer.from(bytes)).swap16());
  expect(decodeText(swapped)).toEqual({ text: "Größe und Gewicht", encoding: "utf-16be" });
  expect(decodeText(Uint8Array.of(0xff, 0xfe, 0x11, 0x30)).text).toBe("\u3011");
});

test("a declaration decides between encodings that both fit, and gives way to UTF-8 that is valid", () => {
  const short = Uint8Array.of(0xcc, 0xe8, 0xf0);
  expect(decodeText(short, "windows-1251")).toEqual({ text: "Мир", encoding: "windows-1251" });
  expect(decodeText(short, "koi8-r").text).toBe("лХП");
  expect(decodeText(new TextEncoder().encode("Größe"), "windows-1251")).toEqual({ text: "Größe", encoding: "utf-8" });
  expect(decodeText(Uint8Array.of(0x47, 0x72, 0xf6), "no-such-charset").text).toBe("Grö");
});

test("bytes of no text are refused", () => {
  const bytes = Uint8Array.from({ length: 500 }, (_, index) => (index * 7) % 32);
  expect(() => decodeText(bytes)).toThrow(expect.objectContaining({ code: "parse.binary" }));
});
