// Makes the files that the server serves, in memory: the same input gives the same bytes.
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("..", import.meta.url));

const shared = {
  absWorkingDir: root,
  outdir: "dist/assets",
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16"],
  legalComments: "none",
  charset: "utf8",
  write: false,
};

const preact = { jsx: "automatic", jsxImportSource: "preact" };

/** Everything in dist, by its name there. */
export async function bundle() {
  const files = new Map();
  const add = ({ outputFiles }) => {
    for (const { path, contents } of outputFiles) {
      files.set(`assets/${basename(path)}`, Buffer.from(contents));
    }
    return `/assets/${basename(outputFiles[0].path)}`;
  };

  const ticker = add(await build({ ...shared, entryPoints: ["src/ticker.ts"] }));
  const js = add(
    await build({
      ...shared,
      ...preact,
      entryPoints: ["src/main.tsx"],
      define: { TICKER_URL: JSON.stringify(ticker) },
    }),
  );
  const css = add(await build({ ...shared, entryPoints: ["src/style.css"] }));
  const docs = {
    js: add(await build({ ...shared, ...preact, entryPoints: ["src/api-docs/api-docs.tsx"] })),
    css: add(await build({ ...shared, entryPoints: ["src/api-docs/api-docs.css"] })),
  };
  const pages = { "index.html": { js, css }, "404.html": { css }, "api.html": docs };

  for (const name of readdirSync(`${root}/public`)) {
    const bytes = readFileSync(`${root}/public/${name}`);
    files.set(name, name in pages ? filled(bytes, pages[name]) : bytes);
  }
  files.set("licenses.txt", Buffer.from(licenses()));
  return files;
}

/** A page with the names of what it loads. */
function filled(bytes, { css, js }) {
  return Buffer.from(String(bytes).replace("%css%", css).replace("%js%", js));
}

/** The bundle carries these packages, and they ask for their notices to go along. */
function licenses() {
  return ["preact", "@preact/signals", "@preact/signals-core"]
    .map((name) => {
      const notice = readFileSync(`${root}/node_modules/${name}/LICENSE`, "utf8");
      return `${name}\n\n${notice.trim()}\n`;
    })
    .join("\n---\n\n");
}
