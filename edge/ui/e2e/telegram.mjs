// As much of the Bot API as a page can show: who the bot is, what people write, and refusals.
import { once } from "node:events";
import { createServer } from "node:http";

const BOT = { id: 4711, is_bot: true, first_name: "Molt", username: "molt_bot" };

export class Telegram {
  static async start() {
    const telegram = new Telegram();
    telegram.server.listen(0, "127.0.0.1");
    await once(telegram.server, "listening");
    return telegram;
  }

  /** While set, every request is refused with it. */
  refusal = null;
  updates = [];
  holding = new Set();

  server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const asked = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    const method = request.url.split("/").at(-1).toLowerCase();
    const answer = this.refusal ?? { ok: true, result: await this.result(method, asked) };
    response.writeHead(answer.error_code ?? 200, { "content-type": "application/json" });
    response.end(JSON.stringify(this.refusal ?? answer));
  });

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  async result(method, asked) {
    if (method === "getme") return BOT;
    if (method === "getupdates") return this.waiting(asked.offset ?? 0);
    if (method === "sendmessage" || method === "editmessagetext") {
      const chat = { id: asked.chat_id, type: "private", first_name: "Li" };
      return { message_id: 90, date: 1_795_000_000, chat, from: BOT, text: asked.text };
    }
    return true;
  }

  /** What came and was not confirmed; waits for something, as the platform does. */
  async waiting(offset) {
    this.updates = this.updates.filter((update) => update.update_id >= offset);
    if (this.updates.length === 0) await new Promise((resolve) => this.holding.add(resolve));
    return this.updates;
  }

  say(id, name, text) {
    const from = { id, is_bot: false, first_name: name };
    const chat = { id, type: "private", first_name: name };
    const update_id = 100 + id;
    const message = { message_id: id, date: 1_795_000_000, chat, from, text };
    this.updates.push({ update_id, message });
    this.release();
  }

  /** From now on refuses as the platform does; with nothing, serves again. */
  refuse(error_code, description) {
    this.refusal = error_code ? { ok: false, error_code, description } : null;
    this.release();
  }

  release() {
    for (const resolve of this.holding) resolve();
    this.holding.clear();
  }

  close() {
    this.release();
    this.server.closeAllConnections();
    this.server.close();
  }
}
