import * as ed from "@noble/ed25519";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import { fromBase64Url, toBase64Url, toHex } from "./bytes";
import { recall, recallJson, remember } from "./keep";

// The synchronous API with our own SHA-512: WebCrypto is missing on plain http, where a gateway on
// the home network is often reached.
ed.hashes.sha512 = (message) => sha512(message);

const DEVICE = "moltbot.device.v1";
const DEVICE_TOKEN = "moltbot.deviceToken.v1";
const PASTED_TOKEN = "moltbot.pastedToken";

export interface Device {
  id: string;
  publicKey: string;
  sign(text: string): string;
}

export interface StoredDevice {
  secretKey: string;
}

/** This browser's key pair; made on the first visit and kept. */
export function loadDevice(): Device {
  const stored = recallJson<StoredDevice>(DEVICE);
  const known = stored?.secretKey ? decodeSecret(stored.secretKey) : null;
  const secret = known ?? ed.utils.randomSecretKey();
  if (!known) remember(DEVICE, JSON.stringify({ secretKey: toBase64Url(secret) }));
  return deviceOf(secret);
}

export function deviceOf(secret: Uint8Array): Device {
  const publicKey = ed.getPublicKey(secret);
  return {
    id: toHex(sha256(publicKey)),
    publicKey: toBase64Url(publicKey),
    sign: (text) => toBase64Url(ed.sign(new TextEncoder().encode(text), secret)),
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

/** The tokens a connection may show, best first. */
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
