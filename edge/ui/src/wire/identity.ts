import { fromBase64Url, toBase64Url, toHex } from "./bytes";
import { recall, recallJson, remember } from "./keep";
import { randomSecret, type Signer, signerOf } from "./signer";

const DEVICE = "moltbot.device.v1";
const DEVICE_TOKEN = "moltbot.deviceToken.v1";
const PASTED_TOKEN = "moltbot.pastedToken";

export interface Device {
  /** The hash of the public key, in hex: a name nobody else can take. */
  id: string;
  publicKey: string;
  sign(text: string): Promise<string>;
}

/** This browser's key pair; made on the first visit and kept. */
export async function loadDevice(): Promise<Device> {
  const stored = recallJson<{ secretKey?: string }>(DEVICE);
  const known = stored?.secretKey ? decodeSecret(stored.secretKey) : null;
  const secret = known ?? randomSecret();
  if (!known) remember(DEVICE, JSON.stringify({ secretKey: toBase64Url(secret) }));
  return deviceOf(await signerOf(secret));
}

export async function deviceOf(signer: Signer): Promise<Device> {
  return {
    id: toHex(await signer.sha256(signer.publicKey)),
    publicKey: toBase64Url(signer.publicKey),
    sign: async (text) => toBase64Url(await signer.sign(new TextEncoder().encode(text))),
  };
}

function decodeSecret(text: string): Uint8Array | null {
  try {
    const bytes = fromBase64Url(text);
    return bytes.length === 32 ? bytes : null;
  } catch {
    return null;
  }
}

/** The tokens a connection may show. */
export const tokens = {
  device: () => recall(DEVICE_TOKEN),
  keepDevice(token: string | null) {
    remember(DEVICE_TOKEN, token);
    // A pasted token has done its work once the device has its own.
    if (token !== null) remember(PASTED_TOKEN, null, "session");
  },
  pasted: () => recall(PASTED_TOKEN, "session"),
  keepPasted: (token: string | null) => remember(PASTED_TOKEN, token, "session"),
};
