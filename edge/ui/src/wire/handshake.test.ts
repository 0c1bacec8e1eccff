import { verifyAsync } from "@noble/ed25519";
import { beforeEach, describe, expect, it } from "vitest";
import { browserName } from "./browser";
import { fromBase64Url, toBase64Url, toHex } from "./bytes";
import { CHAT_SCOPES, connectParams, signaturePayload } from "./handshake";
import { grantPayload } from "./http";
import { deviceOf, loadDevice, tokens } from "./identity";
import { nativeSigner, nobleSigner } from "./signer";

const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
const CHALLENGE = { nonce: "n-1", ts: 1_795_346_981_107 };
const bytes = (text: string) => new TextEncoder().encode(text);

beforeEach(() => localStorage.clear());

describe("the signature", () => {
  it("is over the fields in their order", () => {
    expect(signaturePayload("dev", CHAT_SCOPES, CHALLENGE, null)).toBe(
      "v2|dev|moltbot-control-ui|webchat|operator|operator.read,operator.write|1795346981107||n-1",
    );
    expect(signaturePayload("dev", ["a"], CHALLENGE, "tok")).toMatch(/\|tok\|n-1$/);
    expect(grantPayload("g", "dev", 5)).toBe("grant|g|dev|5");
  });

  it.each(["native", "noble"])("of the %s signer holds", async (kind) => {
    const signer = await (kind === "native" ? nativeSigner(SECRET) : nobleSigner(SECRET));
    if (!signer) throw new Error("this runtime has no Ed25519");
    const device = await deviceOf(signer);
    const sent = await connectParams(device, CHAT_SCOPES, CHALLENGE, "tok", "i");
    const message = bytes(signaturePayload(device.id, CHAT_SCOPES, CHALLENGE, "tok"));
    const { signature, publicKey } = sent.device;
    expect(await verifyAsync(fromBase64Url(signature), message, fromBase64Url(publicKey))).toBe(
      true,
    );
  });

  it("is the same from both signers, and so is the name of the device", async () => {
    const [native, noble] = [await nativeSigner(SECRET), await nobleSigner(SECRET)];
    if (!native) throw new Error("this runtime has no Ed25519");
    expect(await deviceOf(native)).toMatchObject({ id: (await deviceOf(noble)).id });
    expect(await native.sign(bytes("x"))).toEqual(await noble.sign(bytes("x")));
    const digest = await crypto.subtle.digest("SHA-256", noble.publicKey as BufferSource);
    expect((await deviceOf(noble)).id).toBe(toHex(new Uint8Array(digest)));
  });
});

describe("the device", () => {
  it("is the same on the next visit, and survives a broken store", async () => {
    const first = await loadDevice();
    expect((await loadDevice()).id).toBe(first.id);
    localStorage.setItem("moltbot.device.v1", "{nonsense");
    expect((await loadDevice()).id).not.toBe(first.id);
  });

  it("forgets a pasted token once it has its own", () => {
    tokens.keepPasted("secret");
    tokens.keepDevice("own");
    expect([tokens.pasted(), tokens.device()]).toEqual([null, "own"]);
  });

  it("names itself so that a person knows it", () => {
    expect(browserName("Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0 Safari/537.36")).toBe(
      "Chrome on Linux",
    );
    expect(browserName("Mozilla/5.0 (iPhone; CPU iPhone OS 19) Version/19 Safari/604")).toBe(
      "Safari on iPhone",
    );
  });
});

it("writes base64url both ways", () => {
  for (let n = 0; n < 40; n++) {
    const data = crypto.getRandomValues(new Uint8Array(n));
    expect(fromBase64Url(toBase64Url(data))).toEqual(data);
  }
});
