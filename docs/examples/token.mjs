// Prints a login token. Usage: ROOKERY_KEY=… node token.mjs APP USER
import { createHmac } from "node:crypto";
import { deflateSync } from "node:zlib";

export function token(key, app, user, expire = 86400, time = Math.floor(Date.now() / 1000)) {
  const text = `TLS.identifier:${user}\nTLS.sdkappid:${app}\nTLS.time:${time}\nTLS.expire:${expire}\n`;
  const sig = createHmac("sha256", key).update(text).digest("base64");
  const parts = { "TLS.ver": "2.0", "TLS.identifier": user, "TLS.sdkappid": app, "TLS.expire": expire,
    "TLS.time": time, "TLS.sig": sig };
  const safe = { "+": "*", "/": "-", "=": "_" };
  return deflateSync(JSON.stringify(parts)).toString("base64").replace(/[+/=]/g, (sign) => safe[sign]);
}

console.log(token(process.env.ROOKERY_KEY, Number(process.argv[2]), process.argv[3]));
