// The real binary on a home of its own. It keeps its port, so that a page finds it again.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const BINARY = process.env.MOLTBOT_BIN;
/** How long anything may take before a test gives up; generous, because machines are busy. */
const PATIENCE_MS = 30_000;

/** Asks until the answer is truthy, and returns it. */
export async function until(what, ask, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`still not: ${what}`);
    await pause(10);
  }
}

export class Gateway {
  /** A gateway on an empty home, ready. */
  static async start() {
    if (!BINARY) throw new Error("MOLTBOT_BIN is not set; cargo test --test browser sets it");
    const gateway = new Gateway(await mkdtemp(join(tmpdir(), "moltbot-e2e-")));
    await gateway.launch();
    return gateway;
  }

  port = 0;
  log = "";
  child = null;

  constructor(home) {
    this.home = home;
  }

  /** Starts the process, at a later time on the same port, and waits until it is ready. */
  async launch() {
    this.log = "";
    const child = spawn(BINARY, ["serve", "--port", String(this.port)], {
      env: this.env(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.log += text;
    });
    child.ended = new Promise((resolve) => child.once("exit", resolve));
    this.child = child;
    await this.logged("ready ");
    this.port = Number(/listening url=\S+?:(\d+)/.exec(this.log)?.[1]);
  }

  env() {
    return { MOLTBOT_HOME: this.home, NO_COLOR: "1", PATH: process.env.PATH };
  }

  async logged(text) {
    const seen = () => {
      if (this.child.exitCode !== null && !this.log.includes(text)) {
        throw new Error(`the gateway ended:\n${this.log}`);
      }
      return this.log.includes(text);
    };
    await until(`"${text}" in the log`, seen).catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
  }

  url(path = "/") {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Runs a command of the binary; what it printed. It fails if the command does. */
  async run(...words) {
    const args = [...words, "--port", String(this.port)];
    const { stdout } = await promisify(execFile)(BINARY, args, { env: this.env() });
    return stdout.trim();
  }

  /** A link that lets one browser in. */
  link() {
    return this.run("devices", "link");
  }

  async token() {
    return (await readFile(join(this.home, "token"), "utf8")).trim();
  }

  async status() {
    const answer = await fetch(this.url("/status")).catch(() => null);
    return answer ? answer.json() : null;
  }

  /** Waits until everything it recorded is in the replica. */
  shipped() {
    return until("everything is shipped", async () => {
      const status = await this.status();
      return status?.ok && status.shippedSeq === status.headSeq && status;
    });
  }

  /** Ends it as the system's last resort does: no handler runs. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.child.ended;
  }

  /** Ends it as a container runtime does. */
  async terminate() {
    this.child.kill("SIGTERM");
    await this.child.ended;
  }

  /** Removes the local log, as a container that vanishes does. */
  async wipe() {
    await rm(join(this.home, "data"), { recursive: true });
  }

  async close() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    await rm(this.home, { recursive: true, force: true });
  }
}
