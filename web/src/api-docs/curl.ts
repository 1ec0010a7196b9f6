import { type Document, type Placed, resolve, scopeOf } from "./document.ts";

/** A request that can be pasted into a shell. */
export function curlOf(document: Document, operation: Placed, origin: string): string {
  const path = (operation.parameters ?? [])
    .filter((parameter) => parameter.in === "path")
    .reduce(
      (path, { name, example }) => path.replace(`{${name}}`, encodeURIComponent(example ?? name)),
      operation.path,
    )
    // What these mean is only meant in other parts of a URL.
    .replaceAll("%3A", ":");
  const parts = [operation.method === "GET" ? "curl" : `curl -X ${operation.method}`];
  parts.push(`${origin}${path}`);
  if (scopeOf(operation) !== undefined) parts.push(`-H "Authorization: Bearer $KEY"`);
  const body = operation.requestBody?.content["application/json"]?.schema;
  if (body !== undefined) {
    const example = resolve(document, body).schema.examples?.[0] ?? {};
    parts.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(example)}'`);
  }
  return parts.join(" \\\n  ");
}
