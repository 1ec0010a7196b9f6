/** The parts of OpenAPI 3.1 that the server's document is made of. */

export interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  examples?: unknown[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  maxLength?: number;
}

export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  description?: string;
  schema: Schema;
  example?: string;
}

export interface Answer {
  $ref?: string;
  description?: string;
  content?: Record<string, { schema?: Schema }>;
}

export interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  description: string;
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, Answer>;
}

export interface Document {
  info: { title: string; version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; responses: Record<string, Answer> };
}

/** An operation with the place that it is asked for at. */
export interface Placed extends Operation {
  method: string;
  path: string;
}

export const SOURCE = "/api/v1/openapi.json";

export async function fetchDocument(): Promise<Document> {
  const answer = await fetch(SOURCE);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

/** The operations of a tag, in the order of the document. */
export function operationsOf(document: Document, tag: string): Placed[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, operation]) => operation.tags.includes(tag))
      .map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  );
}

/** The scope that a key needs for it; none where anybody may ask. */
export function scopeOf(operation: Operation): string | undefined {
  return operation.security.flatMap((way) => Object.values(way).flat())[0];
}

/** What a schema stands for, and what it is called where it has a name. */
export function resolve(document: Document, schema: Schema): { schema: Schema; name?: string } {
  const name = schema.$ref?.split("/").at(-1);
  const named = name === undefined ? undefined : document.components.schemas[name];
  if (name === undefined || named === undefined) return { schema };
  return { schema: named, name };
}

/** An answer with what it refers to; what it says itself goes first. */
export function resolveAnswer(document: Document, answer: Answer): Answer {
  const name = answer.$ref?.split("/").at(-1);
  const named = name === undefined ? undefined : document.components.responses[name];
  return named === undefined ? answer : { ...named, ...answer };
}

/** What is beside null in a field that may be left out. */
export function withoutNull(schema: Schema): Schema {
  const others = schema.anyOf?.filter((one) => one.type !== "null");
  if (others?.length === 1 && others[0] !== undefined) {
    return { ...others[0], ...(schema.description && { description: schema.description }) };
  }
  if (Array.isArray(schema.type)) {
    const kinds = schema.type.filter((kind) => kind !== "null");
    return { ...schema, type: kinds.length === 1 && kinds[0] !== undefined ? kinds[0] : kinds };
  }
  return schema;
}

/** The words that a field may hold, where only some may stand there. */
export function choicesOf(schema: Schema): { word: string; about?: string | undefined }[] {
  const words = schema.enum?.map((word) => ({ word: String(word) })) ?? [];
  const constants = (schema.oneOf ?? [])
    .filter((one) => one.const !== undefined && one.properties === undefined)
    .map((one) => ({ word: String(one.const), about: one.description }));
  const lists = (schema.oneOf ?? [])
    .filter((one) => one.enum !== undefined && one.properties === undefined)
    .flatMap((one) => (one.enum ?? []).map((word) => ({ word: String(word) })));
  const itself = schema.const === undefined ? [] : [{ word: String(schema.const) }];
  return [...words, ...constants, ...lists, ...itself];
}
