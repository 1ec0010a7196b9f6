// Bundles each test file of the package in the working directory and runs all of them with Node's own runner. Arguments
// are parts of names: only those run. The web client uses it too.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const root = process.cwd();
const wanted = process.argv.slice(2);
const tests = readdirSync(`${root}/test`)
  .filter((name) => name.endsWith(".test.ts"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

rmSync(`${root}/build`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: tests.map((name) => `test/${name}`),
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node18",
  sourcemap: "inline",
});

const reporter = process.stdout.isTTY ? "spec" : "tap";
const files = tests.map((name) => `build/test/${name.replace(/ts$/, "mjs")}`);
const { status } = spawnSync(
  process.execPath,
  ["--enable-source-maps", "--test", `--test-reporter=${reporter}`, ...files],
  { cwd: root, stdio: "inherit" },
);
process.exit(status ?? 1);
