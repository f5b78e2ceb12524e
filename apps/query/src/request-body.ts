import { InvalidInputError } from "@millrace/core";
import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { Refusal } from "./problem.ts";

/** @param hint what to send instead */
export function bodyTooLarge(bytesMax: number, hint: string): Refusal {
  return new Refusal(413, "request.too_large", `The body has more than ${bytesMax} bytes`, hint);
}

/** Refuses larger bodies with 413, as `bodyTooLarge` tells it. */
export function limitBody(bytesMax: number, hint: string): MiddlewareHandler {
  return bodyLimit({
    maxSize: bytesMax,
    onError: () => {
      throw bodyTooLarge(bytesMax, hint);
    },
  });
}

/** @throws InvalidInputError `request.malformed` */
export async function jsonOf(request: { json(): Promise<unknown> }): Promise<unknown> {
  return request.json().catch(() => {
    throw notJson();
  });
}

export function notJson(): InvalidInputError {
  return new InvalidInputError("request.malformed", "The body is not JSON");
}
