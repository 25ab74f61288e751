// An OAuth server of one file: oidc-provider with two clients, dynamic
// registration, JWT access tokens for the resource that is asked for (RFC
// 8707), and users who sign in and consent without a page. For tests and the
// demo: everyone may be anyone.
//
//	node op.mjs     prints "READY <issuer>" once it answers; SIGTERM ends it
//
// The environment: DEFAULT_RESOURCE is the resource of requests that name none;
// ACCESS_TOKEN_TTL the seconds that an access token lives, 300 if it is 0 or
// missing; BEHIND the seconds by which the server's clock is slow. With OPAQUE
// access tokens are opaque, and "gate" may ask what they are worth; with
// GATE_KEY, a public JWK, so may "gate-key".
//
// A request to /auth, and what it is redirected to, may carry x-test-user, who
// signs in (alice), and x-test-refuse, the scopes that the user does not grant.
import http from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';

const env = process.env;
const clock = Date.now, behind = Number(env.BEHIND || 0) * 1000;
Date.now = () => clock() - behind; // before oidc-provider is loaded
const { default: Provider } = await import('oidc-provider');

const words = (text) => (text ?? '').split(' ').filter(Boolean);

// What is stored outlives a rotation of the keys.
const store = new Map();
class Store {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { store.set(this.key(id), payload); }
  async find(id) { return store.get(this.key(id)); }
  async findByUid(uid) { return this.first((p) => p.uid === uid); }
  async findByUserCode(code) { return this.first((p) => p.userCode === code); }
  async consume(id) { store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { store.delete(this.key(id)); }
  async revokeByGrantId(id) {
    for (const [key, p] of store) if (p.grantId === id) store.delete(key);
  }
  first(want) {
    for (const [key, p] of store) if (key.startsWith(`${this.model}:`) && want(p)) return p;
    return undefined;
  }
}

// Clients that register ask for RS256 ID tokens unless they say otherwise.
const newKey = (alg, type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${randomUUID()}`,
});
const newKeys = () => [newKey('ES256', 'ec', { namedCurve: 'P-256' }), newKey('RS256', 'rsa', { modulusLength: 2048 })];
let keys = newKeys(), handler;

const server = http.createServer((request, response) => {
  if (request.method !== 'POST' || request.url !== '/test/rotate') return handler(request, response);
  keys = [...newKeys(), ...keys]; // the new one signs, the old ones stay published
  handler = build();
  response.end(keys[0].kid);
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const on = { enabled: true };
const asks = { grant_types: [], redirect_uris: [], response_types: [] };
const gates = [{ ...asks, client_id: 'gate', client_secret: 'gate & secret' }];
if (env.GATE_KEY) {
  const jwks = { keys: [JSON.parse(env.GATE_KEY)] };
  gates.push({ ...asks, client_id: 'gate-key', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks });
}
const settings = () => ({
  jwks: { keys },
  adapter: Store,
  cookies: { keys: ['for tests'] },
  scopes: ['openid', 'offline_access'],
  interactions: { url: (ctx, interaction) => `/auto/${interaction.uid}` },
  extraTokenClaims: (ctx, token) => ({ groups: token.accountId === 'alice' ? ['eng'] : [] }),
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  clients: [
    ...gates,
    { client_id: 'svc', client_secret: 'svc-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
    {
      client_id: 'pub', token_endpoint_auth_method: 'none', application_type: 'native', grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'], redirect_uris: ['http://127.0.0.1/cb'], // of a native client: at any port
    },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: on,
    introspection: { ...on, allowedPolicy: () => true },
    revocation: on,
    dPoP: { ...on, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => false },
    registration: { ...on, initialAccessToken: false },
    resourceIndicators: {
      ...on,
      useGrantedResource: () => true,
      defaultResource: () => env.DEFAULT_RESOURCE || undefined,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'mcp:read mcp:tools', audience: resource, accessTokenFormat: env.OPAQUE ? 'opaque' : 'jwt',
        accessTokenTTL: Number(env.ACCESS_TOKEN_TTL) || 300, jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

// signIn ends an interaction as its user would: signed in, and consenting to
// all but the refused scopes.
async function signIn(provider, ctx) {
  const { params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  const accountId = ctx.get('x-test-user') || session?.accountId || 'alice', refused = words(ctx.get('x-test-refuse'));
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope('openid offline_access');
  for (const resource of [].concat(params.resource ?? [])) {
    grant.addResourceScope(resource, words(params.scope).filter((s) => !refused.includes(s)).join(' '));
    if (refused.length) grant.rejectResourceScope(resource, refused.join(' '));
  }
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
}

function build() {
  const provider = new Provider(issuer, settings());
  provider.use((ctx, next) => (ctx.path.startsWith('/auto/') ? signIn(provider, ctx) : next()));
  return provider.callback();
}

handler = build();
process.on('SIGTERM', () => process.exit(0));
console.log(`READY ${issuer}`);
