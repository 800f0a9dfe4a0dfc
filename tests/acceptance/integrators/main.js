// The page's verifier stands above this.
const body = require('node:fs').readFileSync(0);
const headers = {};
for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
  headers[name] = process.env[`HTTP_${name.toUpperCase().replace('-', '_')}`];
}
const now = process.env.NOW ? Number(process.env.NOW) : undefined;
try {
  verifyWebhook(process.env.SECRET, headers, body, now);
  console.log('verified');
} catch (error) {
  console.log(`refused: ${error.message}`);
  process.exitCode = 3;
}
