import { backoffMs, type Link, linkAfterRefusal } from "../model/link";
import { newId } from "./bytes";
import { Calls } from "./calls";
import type { EventFrame, Frame, Hello, ResponseFrame, WireError } from "./frames";
import { type Challenge, connectParams } from "./handshake";
import { type Device, tokens } from "./identity";

/** The gateway sends a tick every 30 s; after two missed ones the connection is dead. */
const SILENCE_MS = 65_000;
const HANDSHAKE_MS = 15_000;

export interface GatewayHooks {
  onLink(link: Link): void;
  onHello(hello: Hello): void;
  onEvent(event: string, payload: unknown): void;
}

/** One connection that heals itself; it reports where it stands and never shows anything. */
export class Gateway {
  private socket: WebSocket | null = null;
  private calls = new Calls((text) => this.socket?.send(text));
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastInbound = 0;
  private lastSeq = 0;
  private restartExpected = false;
  private link: Link = { at: "connecting" };
  private readonly instanceId = newId();

  constructor(
    private readonly device: Device,
    private readonly scopes: string[],
    private readonly hooks: GatewayHooks,
    private readonly open: (url: string) => WebSocket = (url) => new WebSocket(url),
  ) {}

  start(): void {
    this.dial();
    setInterval(() => this.checkSilence(), 5_000);
    const wake = () => {
      if (this.link.at === "waiting" && !document.hidden) this.retryNow();
    };
    window.addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
  }

  retryNow(): void {
    this.attempt = 0;
    this.dial();
  }

  submitToken(token: string): void {
    tokens.keepPasted(token);
    this.retryNow();
  }

  /** After a revocation: come back as a stranger. */
  askAgain(): void {
    tokens.keepDevice(null);
    this.retryNow();
  }

  request<T>(method: string, params: unknown = {}): Promise<T> {
    if (this.link.at !== "online") return this.calls.refuse<T>("OFFLINE", "not connected");
    return this.calls.call<T>(method, params);
  }

  private dial(): void {
    clearTimeout(this.timer);
    this.hangUp();
    this.move({ at: "connecting" });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = this.open(`${scheme}://${location.host}/ws`);
    this.socket = socket;
    this.lastSeq = 0;
    this.lastInbound = Date.now();
    socket.onmessage = (message) => this.receive(JSON.parse(String(message.data)) as Frame);
    socket.onclose = (close) => this.closed(close.code, close.reason);
    this.timer = setTimeout(() => this.closed(4008, "handshake timeout"), HANDSHAKE_MS);
  }

  private receive(frame: Frame): void {
    this.lastInbound = Date.now();
    if (frame.type === "res") this.calls.settle(frame);
    else if (frame.event === "connect.challenge") void this.introduce(frame.payload as Challenge);
    else this.deliver(frame);
  }

  private deliver(frame: EventFrame): void {
    if (frame.seq !== undefined) {
      // A missed event means this view may be wrong; the log says what was missed.
      if (this.lastSeq > 0 && frame.seq > this.lastSeq + 1) return this.closed(4000, "gap");
      this.lastSeq = frame.seq;
    }
    if (frame.event === "shutdown") this.restartExpected = true;
    this.hooks.onEvent(frame.event, frame.payload);
  }

  private async introduce(challenge: Challenge): Promise<void> {
    const socket = this.socket;
    const token = tokens.device() ?? tokens.pasted();
    const params = await connectParams(this.device, this.scopes, challenge, token, this.instanceId);
    if (socket !== this.socket) return; // hung up while signing
    this.calls.send("connect", params, (reply) => this.admitted(reply));
  }

  private admitted(reply: ResponseFrame): void {
    if (reply.error?.code === "OFFLINE") return; // our own hang-up, dealt with where it happened
    clearTimeout(this.timer);
    if (!reply.ok) return this.refused(reply.error ?? { code: "UNKNOWN", message: "" });
    const hello = reply.payload as Hello;
    if (hello.auth?.deviceToken) tokens.keepDevice(hello.auth.deviceToken);
    this.attempt = 0;
    this.restartExpected = false;
    this.move({ at: "online" });
    this.hooks.onHello(hello);
  }

  private refused(error: WireError): void {
    this.hangUp();
    const next = linkAfterRefusal(error, Date.now());
    if (next.at === "token" && next.why === "mismatch") {
      // A device token of an earlier life of this gateway is worth nothing; try once without.
      if (tokens.device() !== null) {
        tokens.keepDevice(null);
        return this.dial();
      }
      tokens.keepPasted(null);
    }
    this.move(next);
    if (next.at === "waking") this.redialIn(error.retryAfterMs ?? 500);
  }

  private closed(code: number, reason: string): void {
    clearTimeout(this.timer);
    this.hangUp();
    if (code === 1008 && reason.includes("device revoked")) return this.move({ at: "revoked" });
    const delay = backoffMs(this.attempt);
    this.attempt += 1;
    const restart = code === 1012 || this.restartExpected;
    this.move({ at: "waiting", retryAt: Date.now() + delay, restart });
    this.redialIn(delay);
  }

  private redialIn(delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dial(), delay);
  }

  /** Lets go of the socket without waiting for the other side, which may be gone. */
  private hangUp(): void {
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
    this.calls.dropAll();
  }

  private checkSilence(): void {
    const silent = Date.now() - this.lastInbound > SILENCE_MS;
    if (this.link.at === "online" && silent) this.closed(4000, "tick timeout");
  }

  private move(link: Link): void {
    this.link = link;
    this.hooks.onLink(link);
  }
}
