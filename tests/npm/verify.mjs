// Signs and verifies with the published JavaScript libraries. A line of JSON on stdin is one
// delivery: {id, timestamp, body, headers, secret}, its body in base64. A line on stdout says, by
// library, whether the headers fit, and what the library would have signed (null: it cannot).
// Neither library knows Ed25519; for such keys Node's own cryptography stands in.
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { createInterface } from "node:readline";

import * as standardwebhooks from "standardwebhooks";
import * as svix from "svix";

const libraries = { standardwebhooks, svix };

// What precedes the 32 bytes of a seed or a public key in PKCS #8 and SPKI (RFC 8410).
const PRIVATE = Buffer.from("302e020100300506032b657004220420", "hex");
const PUBLIC = Buffer.from("302a300506032b6570032100", "hex");

function bytes(key) {
  return Buffer.from(key.slice("whsk_".length), "base64");
}

function signed(delivery) {
  return Buffer.concat([Buffer.from(`${delivery.id}.${delivery.timestamp}.`), delivery.payload]);
}

const node = {
  verifies(delivery) {
    const der = Buffer.concat([PUBLIC, bytes(delivery.secret).subarray(-32)]);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    return delivery.headers["webhook-signature"]
      .split(" ")
      .filter((entry) => entry.startsWith("v1a,"))
      .some((entry) => verify(null, signed(delivery), key, Buffer.from(entry.slice(4), "base64")));
  },
  signs(delivery) {
    if (!delivery.secret.startsWith("whsk_")) return null;
    const der = Buffer.concat([PRIVATE, bytes(delivery.secret).subarray(0, 32)]);
    const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    return "v1a," + sign(null, signed(delivery), key).toString("base64");
  },
};

function library({ Webhook, WebhookVerificationError }) {
  return {
    verifies(delivery) {
      try {
        new Webhook(delivery.secret).verify(delivery.payload, delivery.headers);
        return true;
      } catch (error) {
        if (error instanceof WebhookVerificationError) return false;
        throw error;
      }
    },
    signs(delivery) {
      const at = new Date(delivery.timestamp * 1000);
      return new Webhook(delivery.secret).sign(delivery.id, at, delivery.payload);
    },
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const delivery = JSON.parse(line);
  delivery.payload = Buffer.from(delivery.body, "base64");
  const found = delivery.secret.startsWith("whsec_")
    ? Object.entries(libraries).map(([name, module]) => [name, library(module)])
    : [["node:crypto", node]];
  const verdicts = found.map(([name, { verifies, signs }]) => [
    name,
    { verified: verifies(delivery), signature: signs(delivery) },
  ]);
  console.log(JSON.stringify(Object.fromEntries(verdicts)));
}
