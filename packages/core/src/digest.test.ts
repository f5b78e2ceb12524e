import crypto from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { digestOfParts, sha256Of } from "./digest.ts";

const oneShot = crypto.hash;

afterEach(() => {
  crypto.hash = oneShot;
  vi.resetModules();
});

describe("sha256Of", () => {
  // FIPS 180-2, appendix B.1
  const ofAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

  it("is sha256 of a text's UTF-8 and of bytes", () => {
    expect(sha256Of("abc")).toBe(ofAbc);
    expect(sha256Of(new TextEncoder().encode("abc"))).toBe(ofAbc);
    expect(sha256Of("Grüße, 世界")).toBe(sha256Of(new TextEncoder().encode("Grüße, 世界")));
  });

  it("is the same where Node has no digest in one call, as before 20.12", async () => {
    Reflect.deleteProperty(crypto, "hash");
    vi.resetModules();
    const old = await import("./digest.ts");
    expect(old.sha256Of).not.toBe(sha256Of);
    expect(old.sha256Of("abc")).toBe(ofAbc);
    expect(old.digestOfParts(40, ["Grüße", "世界"])).toBe(digestOfParts(40, ["Grüße", "世界"]));
  });
});

it("keeps neighbouring parts apart", () => {
  expect(digestOfParts(64, ["ab", "c"])).not.toBe(digestOfParts(64, ["a", "bc"]));
  expect(digestOfParts(64, ["ab", "c"])).toBe(sha256Of("2:ab1:c"));
});
