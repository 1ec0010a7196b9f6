import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

test("the committed files are those that the sources make", () => {
  const { status, stderr } = spawnSync(process.execPath, ["scripts/stale.mjs"], {
    encoding: "utf8",
  });

  assert.equal(status, 0, stderr);
});
