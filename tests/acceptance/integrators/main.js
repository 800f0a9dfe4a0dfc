// The page's verifier stands above this.
const fs = require('node:fs');
const body = fs.readFileSync(0);
let headers = {};
for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
  headers[name] = process.env[`HTTP_${name.toUpperCase().replace('-', '_')}`];
}
if (process.env.HEADERS === 'fetch') {
  headers = new Headers(Object.entries(headers).filter(([, value]) => value !== undefined));
}
const now = process.env.NOW ? Number(process.env.NOW) : undefined;
try {
  verifyWebhook(process.env.SECRET, headers, body, now);
  console.log('verified');
} catch (error) {
  console.log(`refused: ${error.message}`);
  process.exitCode = 3;
}
