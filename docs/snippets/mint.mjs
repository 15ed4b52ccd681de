import { createHmac } from "node:crypto";

// Adds an expiry to a callback URL, for the mint_keys of twilio-guard.
export function mint(url, keyId, key, ttlSeconds) {
  const [before, ...overrides] = url.split("#");
  const separator = before.includes("?") ? "&" : "?";
  const expiry = Math.floor(Date.now() / 1000) + ttlSeconds;
  const unsigned = `${before}${separator}tg_exp=${expiry}&tg_key=${keyId}`;
  const resource = unsigned.slice(unsigned.indexOf("/", unsigned.indexOf("://") + 3));
  const mac = createHmac("sha256", key).update(`twilio-guard mint v1\n${resource}`).digest("base64url");
  return [`${unsigned}&tg_mac=${mac}`, ...overrides].join("#");
}
