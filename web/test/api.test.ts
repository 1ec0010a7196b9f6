import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { Server } from "../../sdk/typescript/test/server.ts";
import { closeBrowsers, complaints, freshBrowser, quitBrowser } from "./browser.ts";

let server: Server;

before(async () => {
  server = await Server.start();
});
after(async () => {
  await closeBrowsers();
  await quitBrowser();
  await server.stop();
});

interface Named {
  operationId: string;
}

test("the page of the REST interface shows every operation, and its policy lets it", async () => {
  complaints.length = 0;
  const answer = await fetch(`http://${server.address}/api/v1/openapi.json`);
  const described = (await answer.json()) as { paths: Record<string, Record<string, Named>> };
  const names = Object.values(described.paths)
    .flatMap((methods) => Object.values(methods))
    .map(({ operationId }) => operationId);
  const page = await (await freshBrowser()).newPage();

  await page.goto(`http://${server.address}/api/v1/docs#not_found`);

  await page.getByRole("heading", { name: "Rookery REST" }).waitFor();
  for (const name of names) assert.equal(await page.locator(`#${name}`).count(), 1, name);
  const send = page.locator("#sendMessage");
  assert.match(
    (await send.locator("pre").textContent()) ?? "",
    /curl -X POST [^-]*\/api\/v1\/messages/,
  );
  await send.getByText("client_msg_id", { exact: true }).first().waitFor();
  assert.ok(await page.locator("#not_found").isVisible(), "a problem's type leads to its code");
  await page.setViewportSize({ width: 390, height: 800 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(wide, 390, "nothing is wider than a phone");
  if (process.env.SCREENSHOTS !== undefined) {
    await page.screenshot({ path: `${process.env.SCREENSHOTS}/api-phone.png` });
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(`http://${server.address}/api/v1/docs#sendMessage`);
    await page.screenshot({ path: `${process.env.SCREENSHOTS}/api.png` });
  }
  assert.deepEqual(complaints, []);
});
