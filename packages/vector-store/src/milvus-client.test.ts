import { DependencyError } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { call, checked, milvusCodeOf } from "./milvus-client.ts";

const success = { error_code: "Success", code: 0, reason: "" };

describe("checked", () => {
  it.each([
    ["a status", success],
    ["a status inside", { status: success, results: [] }],
    ["the number 0", { status: { error_code: 0, reason: "" } }],
  ])("returns a reply with %s of success", (_, reply) => {
    expect(checked(reply, "search")).toBe(reply);
  });

  it.each([
    ["both codes", { status: { error_code: 101, code: 101, reason: "not loaded" }, results: [] }, 101],
    ["only the new code", { status: { error_code: "Success", code: 1, reason: "disk full" }, results: [] }, 1],
    ["only the old code", { error_code: "UnexpectedError", code: 0, reason: "no" }, "UnexpectedError"],
  ])("throws on %s of failure", (_, reply, milvusCode) => {
    try {
      checked(reply, "search");
    } catch (error) {
      expect(error).toBeInstanceOf(DependencyError);
      expect(error).toMatchObject({ code: "store.failed", retryable: true });
      expect(milvusCodeOf(error)).toBe(milvusCode);
      return;
    }
    expect.unreachable();
  });

  it.each([undefined, null, {}, { status: null }, { results: [] }, "ok"])("throws on a reply without a status: %j", (reply) => {
    expect(() => checked(reply, "search")).toThrow(expect.objectContaining({ code: "store.failed" }));
  });
});

describe("call", () => {
  it.each([
    [14, "store.unavailable"],
    [1, "store.unavailable"],
    [4, "store.timeout"],
    [13, "store.failed"],
  ])("maps gRPC status %i to %s", async (status, code) => {
    const failure = Object.assign(new Error("gRPC"), { code: status });
    await expect(call("search", 1_000, () => Promise.reject(failure))).rejects.toMatchObject({ code, retryable: true });
  });

  it("understands a status that was thrown as it is", async () => {
    const failure = { error_code: "UnexpectedError", code: 65_535, reason: "no quota" };
    const error = await call("create", 1_000, () => Promise.reject(failure)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "store.failed", message: expect.stringContaining("no quota") });
    expect(milvusCodeOf(error)).toBe(65_535);
  });

  it("ends when the SDK does not", async () => {
    await expect(call("search", 10, () => new Promise(() => undefined))).rejects.toMatchObject({ code: "store.timeout" });
  });
});
