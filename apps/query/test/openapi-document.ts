import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

type Json = Readonly<Record<string, unknown>>;

interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Json }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Json }>> }>>;
}

type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** An OpenAPI 3.1 document that requests and replies are held against: to the letter, what is not described may not be there. */
export class OpenApiDocument {
  readonly #paths: Paths;
  readonly #components: Readonly<Record<string, Json>>;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #succeeded = new Set<string>();

  constructor(document: unknown) {
    const { paths, components } = document as {
      readonly paths: Paths;
      readonly components: { readonly schemas: Readonly<Record<string, Json>> };
    };
    this.#paths = paths;
    this.#components = components.schemas;
  }

  /** @throws what does not agree with the document */
  async check(method: string, path: string, body: unknown, response: Response): Promise<void> {
    const [template, operation] = this.#operationOf(method, path);
    const name = `${method} ${template}`;
    if (typeof body === "string" && response.ok) {
      this.#validate(`${name}: request`, operation.requestBody?.content["application/json"]?.schema, JSON.parse(body));
    }
    const described = operation.responses[String(response.status)];
    if (described === undefined) throw new Error(`${name}: ${response.status} is not described: ${await response.text()}`);
    if (response.ok) this.#succeeded.add(name);
    if (described.content === undefined) return;
    const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
    const content = described.content[type];
    if (content === undefined) throw new Error(`${name}: ${response.status} as ${type} is not described`);
    if (type.endsWith("json")) this.#validate(`${name}: ${response.status}`, content.schema, await response.json());
  }

  checkComponent(component: string, value: unknown): void {
    this.#validate(component, { $ref: `#/components/schemas/${component}` }, value);
  }

  routesWithoutSuccess(): string[] {
    const routes = Object.entries(this.#paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    return routes.filter((route) => !this.#succeeded.has(route));
  }

  #operationOf(method: string, path: string): [string, Operation] {
    for (const [template, operations] of Object.entries(this.#paths)) {
      const pattern = new RegExp(`^${template.replace(/\{[^}]+\}/g, "[^/]+")}$`);
      const operation = operations[method.toLowerCase()];
      if (operation !== undefined && pattern.test(path)) return [template, operation];
    }
    throw new Error(`${method} ${path} is not described`);
  }

  #validate(name: string, schema: Json | undefined, value: unknown): void {
    if (schema === undefined) throw new Error(`${name}: no JSON is described`);
    const key = JSON.stringify(schema);
    const validate = this.#validators.get(key) ?? this.#ajv.compile(this.#closed(schema) as object);
    this.#validators.set(key, validate);
    if (!validate(value)) {
      const problems = validate.errors?.map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`);
      throw new Error(`${name} is not as described:\n${problems?.join("\n")}\n${JSON.stringify(value).slice(0, 500)}`);
    }
  }

  /** References put in, `allOf` joined, and every object with named properties closed. */
  #closed(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map((each) => this.#closed(each));
    if (typeof schema !== "object" || schema === null) return schema;
    const { $ref, allOf, ...own } = schema as { readonly $ref?: string; readonly allOf?: readonly unknown[] } & Json;
    if ($ref !== undefined) return this.#closed({ ...this.#components[$ref.split("/").at(-1) ?? ""], ...own });
    if (allOf !== undefined) {
      const parts = [...allOf.map((part) => this.#closed(part) as Json), this.#closed(own) as Json];
      const properties = Object.assign({}, ...parts.map((part) => part["properties"] ?? {})) as Json;
      const required = parts.flatMap((part) => (part["required"] as string[] | undefined) ?? []);
      return Object.assign({}, ...parts, { properties, required: [...new Set(required)], additionalProperties: false }) as Json;
    }
    const inner = Object.fromEntries(Object.entries(own).map(([key, value]) => [key, this.#closed(value)]));
    return inner["type"] === "object" && "properties" in inner ? { ...inner, additionalProperties: false } : inner;
  }
}
