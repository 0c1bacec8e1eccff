import { version } from "../../package.json";
import { browserName, platformName } from "./browser";
import type { Device } from "./identity";

export const CLIENT_ID = "moltbot-control-ui";
const CLIENT_MODE = "webchat";
const ROLE = "operator";

export const CHAT_SCOPES = ["operator.read", "operator.write"];
export const ADMIN_SCOPES = [
  "operator.read",
  "operator.write",
  "operator.admin",
  "operator.approvals",
  "operator.pairing",
];

export interface Challenge {
  nonce: string;
  ts: number;
}

/** What the device signs, so that a recorded handshake is worthless for another connection. */
export function signaturePayload(
  deviceId: string,
  scopes: string[],
  challenge: Challenge,
  token: string | null,
): string {
  const parts = ["v2", deviceId, CLIENT_ID, CLIENT_MODE, ROLE, scopes.join(",")];
  return [...parts, String(challenge.ts), token ?? "", challenge.nonce].join("|");
}

export async function connectParams(
  device: Device,
  scopes: string[],
  challenge: Challenge,
  token: string | null,
  instanceId: string,
) {
  const signature = await device.sign(signaturePayload(device.id, scopes, challenge, token));
  return {
    minProtocol: 3,
    maxProtocol: 4,
    client: {
      id: CLIENT_ID,
      displayName: browserName(navigator.userAgent),
      version,
      platform: platformName(navigator.userAgent),
      mode: CLIENT_MODE,
      instanceId,
    },
    role: ROLE,
    scopes,
    device: {
      id: device.id,
      publicKey: device.publicKey,
      signature,
      signedAt: challenge.ts,
      nonce: challenge.nonce,
    },
    auth: token === null ? {} : { token },
    locale: navigator.language,
    userAgent: navigator.userAgent,
  };
}
