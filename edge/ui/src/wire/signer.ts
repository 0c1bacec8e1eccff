// Ed25519 and SHA-256, from the browser where it has them. On plain http (a gateway on the home
// network) and in older browsers it has not; then the same comes from @noble, loaded only there.
import { fromBase64Url } from "./bytes";

export interface Signer {
  publicKey: Uint8Array;
  sign(message: Uint8Array): Promise<Uint8Array>;
  sha256(message: Uint8Array): Promise<Uint8Array>;
}

export async function signerOf(secret: Uint8Array): Promise<Signer> {
  return (await nativeSigner(secret)) ?? nobleSigner(secret);
}

/** PKCS #8 is this fixed head and then the 32 secret bytes (RFC 8410). */
const PKCS8_HEAD = "MC4CAQAwBQYDK2VwBCIEIA";

export async function nativeSigner(secret: Uint8Array): Promise<Signer | null> {
  try {
    const subtle = crypto.subtle;
    const wrapped = new Uint8Array([...fromBase64Url(PKCS8_HEAD), ...secret]);
    const key = await subtle.importKey("pkcs8", wrapped, "Ed25519", true, ["sign"]);
    const { x } = await subtle.exportKey("jwk", key);
    if (!x) return null;
    return {
      publicKey: fromBase64Url(x),
      sign: async (message) =>
        new Uint8Array(await subtle.sign("Ed25519", key, message as BufferSource)),
      sha256: async (message) =>
        new Uint8Array(await subtle.digest("SHA-256", message as BufferSource)),
    };
  } catch {
    return null;
  }
}

export async function nobleSigner(secret: Uint8Array): Promise<Signer> {
  const { getPublicKey, sha256, sign } = await import("./noble");
  return {
    publicKey: getPublicKey(secret),
    sign: async (message) => sign(message, secret),
    sha256: async (message) => sha256(message),
  };
}

export function randomSecret(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(32));
}
