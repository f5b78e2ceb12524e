import { expect, test } from "vitest";
import { type AppDeps, createApp } from "./app.ts";

/** Stands for every dependency: routes are put together with them, and none is called. */
const anything: unknown = new Proxy(() => undefined, {
  get: (_, name) => (name === Symbol.toPrimitive ? () => "anything" : anything),
  apply: () => anything,
});

test("every route is described, and everything described is a route", async () => {
  const app = createApp(anything as AppDeps);
  const routes = new Set(
    app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`),
  );
  const { paths } = (await (await app.request("/openapi.json")).json()) as { paths: Record<string, Record<string, unknown>> };
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(described.sort()).toEqual([...routes].sort());
});
