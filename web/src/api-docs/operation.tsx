import { useState } from "preact/hooks";
import { curlOf } from "./curl.ts";
import { type Answer, type Document, type Placed, resolveAnswer, scopeOf } from "./document.ts";
import { Field, Fields } from "./fields.tsx";
import { Line, Words } from "./words.tsx";

/** One operation: what it does, what it takes, what it answers, and how to try it. */
export function OperationView({ document, operation }: { document: Document; operation: Placed }) {
  const scope = scopeOf(operation);
  const body = operation.requestBody?.content["application/json"]?.schema;
  return (
    <article class="operation" id={operation.operationId}>
      <h3>
        <span class={`method ${operation.method.toLowerCase()}`}>{operation.method}</span>{" "}
        <code>{operation.path}</code>
      </h3>
      <Words text={operation.description} />
      {scope !== undefined && (
        <p class="scope">
          Scope <code>{scope}</code>
        </p>
      )}
      <Curl text={curlOf(document, operation, location.origin)} />
      {(operation.parameters ?? []).length > 0 && (
        <section>
          <h4>Parameters</h4>
          <ul class="fields">
            {operation.parameters?.map(({ name, in: place, required, description, schema }) => (
              <li key={name}>
                <Field
                  document={document}
                  name={name}
                  schema={{ ...schema, description: description ?? `in the ${place}` }}
                  required={required ?? false}
                />
              </li>
            ))}
          </ul>
        </section>
      )}
      {body !== undefined && (
        <section>
          <h4>Body</h4>
          <Fields document={document} schema={body} />
        </section>
      )}
      <section>
        <h4>Answers</h4>
        {Object.entries(operation.responses).map(([status, answer]) => (
          <AnswerView key={status} document={document} status={status} answer={answer} />
        ))}
      </section>
    </article>
  );
}

interface AnswerProps {
  document: Document;
  status: string;
  answer: Answer;
}

function AnswerView({ document, status, answer }: AnswerProps) {
  const { description, content } = resolveAnswer(document, answer);
  const schema = content?.["application/json"]?.schema;
  const line = (
    <>
      <span class={`status s${status[0]}`}>{status}</span> <Line text={description ?? ""} />
    </>
  );
  if (schema === undefined) return <p class="answer">{line}</p>;
  return (
    <details class="answer">
      <summary>{line}</summary>
      <Fields document={document} schema={schema} />
    </details>
  );
}

function Curl({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <div class="curl">
      <pre>{text}</pre>
      <button type="button" onClick={copy}>
        {copied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}
