// The wire between a browser and a gateway, where it can be held and cut.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Cable {
  static async to(gateway) {
    const cable = new Cable(gateway);
    await cable.mend();
    return cable;
  }

  port = 0;
  server = null;
  pairs = new Set();

  constructor(gateway) {
    this.gateway = gateway;
  }

  url(path = "/") {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  async link() {
    const { hash } = new URL(await this.gateway.link());
    return this.url(`/${hash}`);
  }

  /** What the browser sends stays on the way until it is let go. */
  hold() {
    for (const { near, far } of this.pairs) near.unpipe(far);
  }

  letGo() {
    for (const { near, far } of this.pairs) near.pipe(far);
  }

  /** Every connection breaks, and nobody answers. */
  async cut() {
    const closed = once(this.server, "close");
    this.server.close();
    for (const { near, far } of this.pairs) {
      near.destroy();
      far.destroy();
    }
    await closed;
  }

  /** The same address answers again. */
  async mend() {
    this.server = createServer((near) => this.join(near));
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
    this.server.unref();
    this.port = this.server.address().port;
  }

  join(near) {
    const far = connect(this.gateway.port, "127.0.0.1");
    const pair = { near, far };
    this.pairs.add(pair);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      one.pipe(other);
      // Either end may break at any time; then so does the other.
      one.on("error", () => {});
      one.on("close", () => {
        this.pairs.delete(pair);
        other.destroy();
      });
    }
  }
}
