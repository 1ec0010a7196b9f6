import { render } from "preact";
import { fetchDocument, SOURCE } from "./document.ts";
import { ApiDocs } from "./page.tsx";

const place = document.getElementById("docs");
if (place !== null) {
  fetchDocument().then(
    (document) => {
      render(<ApiDocs document={document} />, place);
      // What the address names is there only now.
      if (location.hash.length > 1) {
        place.querySelector(`[id="${CSS.escape(location.hash.slice(1))}"]`)?.scrollIntoView();
      }
    },
    (error) => {
      const why = error instanceof Error ? error.message : String(error);
      render(
        <p class="plain">
          <a href={SOURCE}>{SOURCE}</a> cannot be read: {why}.
        </p>,
        place,
      );
    },
  );
}
