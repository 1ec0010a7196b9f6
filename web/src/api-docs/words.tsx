/** Text of the document: paragraphs, and words in backticks. */
export function Words({ text }: { text: string }) {
  return (
    <>
      {text.split("\n\n").map((paragraph) => (
        <p key={paragraph}>
          <Line text={paragraph} />
        </p>
      ))}
    </>
  );
}

/** One line of it. */
export function Line({ text }: { text: string }) {
  return (
    <>
      {text.split("`").map((part, at) =>
        at % 2 === 1 ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts never move
          <code key={at}>{part}</code>
        ) : (
          part.replaceAll("\n", " ")
        ),
      )}
    </>
  );
}
