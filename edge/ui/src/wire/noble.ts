// Its own chunk; see signer.ts.
import * as ed from "@noble/ed25519";
import { sha256, sha512 } from "@noble/hashes/sha2.js";

// The synchronous API with this SHA-512: the asynchronous one asks WebCrypto, which is what is missing.
ed.hashes.sha512 = (message) => sha512(message);

export const { getPublicKey, sign } = ed;
export { sha256 };
