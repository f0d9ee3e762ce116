import { connect } from 'nats';
import { config, tell } from './lines.mjs';

// Who was killed does not know what became of the last request, and asks again:
// with the same key it is sent once.
const nc = await connect({ servers: config.nats, token: config.token });
for (let n = config.first; ; n++) {
	const to = config.to[n % config.to.length];
	const answer = await nc.request('send', JSON.stringify({ to, text: `message ${n}`, key: `key-${n}` }), { timeout: 20_000 });
	tell(answer.string());
}
