// Sends a message and shows what comes back.
import { RookeryClient } from "@rookery/client";

export async function hello(user: string, token: () => Promise<string>, peer: string): Promise<void> {
  const client = await RookeryClient.create({
    url: "ws://127.0.0.1:8800/v1/ws",
    user,
    token,
    device: { id: "laptop-1", platform: "web" },
  });
  client.on("message", ({ from, content }) => console.log(from, content));
  client.connect();
  const { seq } = await client.post(`user:${peer}`, { type: "text", text: "Hello" });
  console.log(`committed as ${seq} of our conversation`);
}
