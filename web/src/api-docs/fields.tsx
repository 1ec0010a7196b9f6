import { choicesOf, type Document, resolve, type Schema, withoutNull } from "./document.ts";
import { Line } from "./words.tsx";

/** How deep types inside types are laid out; none of the server's is deeper. */
const DEEPEST = 5;

interface Props {
  document: Document;
  schema: Schema;
  depth?: number;
}

/** The fields of an object, those of objects inside it below them. */
export function Fields({ document, schema, depth = 0 }: Props) {
  const { schema: whole } = resolve(document, withoutNull(schema));
  const forms = (whole.oneOf ?? []).filter((one) => one.properties !== undefined);
  if (forms.length > 0) {
    return (
      <>
        {forms.map((form, at) => (
          <div key={JSON.stringify(form)}>
            {at > 0 && <p class="or">or</p>}
            <Fields document={document} schema={form} depth={depth} />
          </div>
        ))}
      </>
    );
  }
  if (whole.properties === undefined) return null;
  const isRequired = (name: string): boolean => whole.required?.includes(name) ?? false;
  const fields = Object.entries(whole.properties);
  const sorted = [
    ...fields.filter(([name]) => isRequired(name)),
    ...fields.filter(([name]) => !isRequired(name)),
  ];
  return (
    <ul class="fields">
      {sorted.map(([name, field]) => (
        <li key={name}>
          <Field
            document={document}
            name={name}
            schema={field}
            required={isRequired(name)}
            depth={depth}
          />
        </li>
      ))}
    </ul>
  );
}

interface FieldProps extends Props {
  name: string;
  required: boolean;
}

/** One field, or one parameter. */
export function Field({ document, name, schema, required, depth = 0 }: FieldProps) {
  const { schema: whole } = resolve(document, withoutNull(schema));
  const about = schema.description ?? whole.description;
  const inner = withoutNull(whole.items ?? whole);
  const choices = choicesOf(resolve(document, inner).schema);
  return (
    <>
      <div class="field">
        <code class="name">{name}</code>
        <span class="kind">{kindOf(document, whole)}</span>
        {required ? <span class="must">required</span> : <span class="may">may be left out</span>}
      </div>
      {about !== undefined && (
        <p class="about">
          <Line text={about} />
        </p>
      )}
      {choices.length > 0 && (
        <p class="about">
          {choices.map(({ word, about }, at) => (
            <span key={word}>
              {at > 0 && ", "}
              <code title={about}>{word}</code>
            </span>
          ))}
        </p>
      )}
      {depth < DEEPEST && <Fields document={document} schema={inner} depth={depth + 1} />}
    </>
  );
}

/** What a value is, in a few words. */
function kindOf(document: Document, schema: Schema): string {
  if (schema.items !== undefined) {
    const { schema: item } = resolve(document, withoutNull(schema.items));
    const most = schema.maxItems === undefined ? "" : `, at most ${schema.maxItems}`;
    return `list of ${kindOf(document, item)}${most}`;
  }
  if (choicesOf(schema).length > 0) return "one word";
  if (schema.oneOf !== undefined || schema.properties !== undefined) return "object";
  const kind = Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "value");
  const preset =
    schema.default === undefined ? "" : `, ${JSON.stringify(schema.default)} if left out`;
  return `${kind}${preset}`;
}
