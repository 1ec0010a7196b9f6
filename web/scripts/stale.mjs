// Says whether web/dist is what the sources make.
import { readdirSync, readFileSync } from "node:fs";
import { bundle, root } from "./bundle.mjs";

function committed(folder, prefix = "") {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? committed(`${folder}/${entry.name}`, `${prefix}${entry.name}/`)
      : [`${prefix}${entry.name}`],
  );
}

const dist = `${root}/dist`;
const files = await bundle();
const names = new Set([...committed(dist), ...files.keys()]);
const stale = [...names].filter((name) => {
  const made = files.get(name);
  if (made === undefined) return true;
  try {
    return !made.equals(readFileSync(`${dist}/${name}`));
  } catch {
    return true;
  }
});
if (stale.length > 0) {
  console.error(`web/dist is stale (${stale.join(", ")}): run npm run build in web/ and commit it`);
  process.exit(1);
}
