// Builds what is published: one ES module, and the types of each file of the source.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}/dist`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: ["src/index.ts"],
  outfile: "dist/index.js",
  bundle: true,
  format: "esm",
  target: "es2022",
  minifySyntax: true,
  sourcemap: true,
});
execFileSync(
  process.execPath,
  ["node_modules/typescript/bin/tsc", "-p", ".", "--noEmit", "false", "--declaration"].concat([
    "--emitDeclarationOnly",
    "--outDir",
    "dist",
  ]),
  { cwd: root, stdio: "inherit" },
);
