// A certified OpenID Connect provider, with its own pages for signing in and consent. Reads its configuration as JSON
// from standard input: {port, key, cookie, clients, people}; writes "ready" when it listens.
//
// `people` are claims by the name that somebody types; any password counts. Claims other than `sub` are in userinfo
// only, as the standard has it.
import { Provider } from 'oidc-provider';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { port, key, cookie, clients, people } = JSON.parse(Buffer.concat(chunks).toString());

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  jwks: { keys: [key] },
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username'],
    email: ['email', 'email_verified'],
    groups: ['groups', 'realm_access'],
  },
  scopes: ['openid', 'profile', 'email', 'groups'],
  pkce: { required: () => true },
  cookies: {
    keys: ['only-for-tests'],
    names: { session: `${cookie}_session`, interaction: `${cookie}_interaction`, resume: `${cookie}_resume` },
  },
  features: {
    devInteractions: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  // The hub under test listens on loopback, where this provider's own dispatcher refuses to go.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  async findAccount(ctx, id) {
    const claims = people[id];
    return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) };
  },
});
provider.on('server_error', (ctx, error) => console.error(error));
provider.on('backchannel.error', (ctx, error) => console.error('backchannel', error));
provider.on('backchannel.success', () => console.error('backchannel done'));
provider.listen(port, '127.0.0.1', () => console.log('ready'));
