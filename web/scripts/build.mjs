// Writes web/dist, which is committed: the server embeds it, so that building the server needs no Node.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { bundle, root } from "./bundle.mjs";

const dist = `${root}/dist`;
const files = await bundle();
rmSync(dist, { recursive: true, force: true });
for (const [name, bytes] of files) {
  mkdirSync(dirname(`${dist}/${name}`), { recursive: true });
  writeFileSync(`${dist}/${name}`, bytes);
  console.log(`${name}  ${bytes.length} bytes, ${gzipSync(bytes).length} gzipped`);
}
