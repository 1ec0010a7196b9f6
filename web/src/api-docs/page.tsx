import { choicesOf, type Document, operationsOf, resolve, SOURCE, scopeOf } from "./document.ts";
import { OperationView } from "./operation.tsx";
import { Line, Words } from "./words.tsx";

/** The whole document. */
export function ApiDocs({ document }: { document: Document }) {
  const tags = document.tags.map((tag) => ({
    ...tag,
    operations: operationsOf(document, tag.name),
  }));
  return (
    <div class="docs">
      <nav aria-label="Operations">
        <a class="brand" href="#top">
          <img src="/favicon.svg" alt="" width="28" height="28" /> Rookery REST
        </a>
        {tags.map(({ name, operations }) => (
          <section key={name}>
            <h2>{name}</h2>
            <ul>
              {operations.map(({ operationId, method, summary }) => (
                <li key={operationId}>
                  <a href={`#${operationId}`}>
                    <span class={`method ${method.toLowerCase()}`}>{method}</span>
                    <span>
                      <Line text={summary} />
                    </span>
                  </a>
                </li>
              ))}
            </ul>
          </section>
        ))}
        <section>
          <h2>errors</h2>
          <ul>
            <li>
              <a href="#errors">Codes</a>
            </li>
          </ul>
        </section>
      </nav>
      <main id="top">
        <h1>{document.info.title} REST</h1>
        <Words text={document.info.description} />
        <p>
          This page shows <a href={SOURCE}>{SOURCE}</a>, in OpenAPI 3.1.
        </p>
        <Scopes document={document} />
        {tags.map(({ name, description, operations }) => (
          <section key={name} class="tag">
            <h2>{name}</h2>
            <p>{description}</p>
            {operations.map((operation) => (
              <OperationView
                key={operation.operationId}
                document={document}
                operation={operation}
              />
            ))}
          </section>
        ))}
        <Errors document={document} />
      </main>
    </div>
  );
}

/** Which scope a key needs for what. */
function Scopes({ document }: { document: Document }) {
  const scopes = new Map<string, string[]>();
  for (const operation of document.tags.flatMap(({ name }) => operationsOf(document, name))) {
    const scope = scopeOf(operation);
    if (scope !== undefined)
      scopes.set(scope, [...(scopes.get(scope) ?? []), operation.operationId]);
  }
  return (
    <section class="tag">
      <h2>scopes</h2>
      <table>
        <tbody>
          {[...scopes].map(([scope, operations]) => (
            <tr key={scope}>
              <th scope="row">
                <code>{scope}</code>
              </th>
              <td>
                {operations.map((operation, at) => (
                  <span key={operation}>
                    {at > 0 && ", "}
                    <a href={`#${operation}`}>{operation}</a>
                  </span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** What each code of an error means; a problem's `type` leads here. */
function Errors({ document }: { document: Document }) {
  const codes = choicesOf(resolve(document, { $ref: "#/components/schemas/Code" }).schema);
  return (
    <section class="tag" id="errors">
      <h2>errors</h2>
      <p>
        An error has a stable <code>code</code> for programs and a <code>detail</code> for people,
        which may change.
      </p>
      <dl>
        {codes.map(({ word, about }) => (
          <div key={word} id={word}>
            <dt>
              <code>{word}</code>
            </dt>
            <dd>
              <Line text={about ?? ""} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
