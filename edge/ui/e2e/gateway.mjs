// The real binary on a home of its own. It keeps its port, so that a page finds it again.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
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

/** A port nobody uses. The gateway keeps it when it restarts itself, so it cannot choose its own. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Gateways that run, and their homes; they go when the tests go, however those end. */
const running = new Set();
const homes = new Set();

process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

export class Gateway {
  /** A gateway on an empty home, ready; `env`: variables it gets. */
  static async start(env = {}) {
    if (!BINARY) throw new Error("MOLTBOT_BIN is not set; cargo test --test browser sets it");
    const home = await mkdtemp(join(tmpdir(), "moltbot-e2e-"));
    homes.add(home);
    const gateway = new Gateway(home, await freePort(), env);
    await gateway.launch();
    const page = await fetch(gateway.url());
    if (!page.ok) throw new Error(`no UI in ${BINARY}: ${await page.text()}`);
    return gateway;
  }

  log = "";
  child = null;

  constructor(home, port, variables) {
    this.home = home;
    this.port = port;
    this.variables = variables;
  }

  /** Starts the process, each time on the same port, and waits until it is ready. */
  async launch() {
    this.log = "";
    const child = spawn(BINARY, ["serve", "--port", String(this.port)], {
      env: this.env(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.log += text;
    });
    running.add(child);
    child.ended = once(child, "exit").then(() => running.delete(child));
    // A gateway left over by a failure must not keep the tests from ending.
    child.unref();
    child.stderr.unref();
    this.child = child;
    await this.logged("ready ");
  }

  env() {
    const log = { NO_COLOR: "1", MOLTBOT_LOG_FORMAT: "text" };
    return { MOLTBOT_HOME: this.home, PATH: process.env.PATH, ...log, ...this.variables };
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
  kill() {
    return this.end("SIGKILL");
  }

  /** Ends it as a container runtime does. */
  terminate() {
    return this.end("SIGTERM");
  }

  async end(signal) {
    this.child.ref();
    this.child.kill(signal);
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
