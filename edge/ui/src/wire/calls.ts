import type { ResponseFrame } from "./frames";

/** A refusal of the gateway. `code` is the stable part; words are chosen where it is shown. */
export class CallError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

/** Requests waiting for their answer on one connection. */
export class Calls {
  private waiting = new Map<string, (reply: ResponseFrame) => void>();
  private next = 1;

  constructor(private readonly write: (text: string) => void) {}

  send(method: string, params: unknown, onReply: (reply: ResponseFrame) => void): void {
    const id = String(this.next++);
    this.waiting.set(id, onReply);
    this.write(JSON.stringify({ type: "req", id, method, params }));
  }

  call<T>(method: string, params: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.send(method, params, (reply) => {
        if (reply.ok) resolve(reply.payload as T);
        else reject(errorOf(reply));
      });
    });
  }

  refuse<T>(code: string, message: string): Promise<T> {
    return Promise.reject(new CallError(code, message));
  }

  settle(reply: ResponseFrame): void {
    const waiter = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    waiter?.(reply);
  }

  /** The connection is gone: nobody will answer these. */
  dropAll(): void {
    const lost = [...this.waiting];
    this.waiting.clear();
    const error = { code: "OFFLINE", message: "connection lost" };
    for (const [id, waiter] of lost) waiter({ type: "res", id, ok: false, error });
  }
}

function errorOf(reply: ResponseFrame): CallError {
  const { code = "UNKNOWN", message = "", details = {} } = reply.error ?? {};
  return new CallError(String(details.code ?? code), message, { ...details, code });
}

/** The stable code of whatever was thrown. */
export function codeOf(error: unknown): string {
  return error instanceof CallError ? error.code : "UNKNOWN";
}
