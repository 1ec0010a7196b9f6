import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LARGEST_BYTES = 15_000;

test("the whole client is small, and brings nothing with it", async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: ["src/index.ts"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
  });

  const bytes = gzipSync(outputFiles[0]?.contents ?? "").length;
  assert.ok(bytes < LARGEST_BYTES, `${bytes} bytes`);
  const foreign = Object.keys(metafile.inputs).filter((name) => !name.startsWith("src/"));
  assert.deepEqual(foreign, []);
});
