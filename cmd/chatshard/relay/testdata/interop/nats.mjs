import { gunzipSync } from 'node:zlib';
import { AckPolicy, connect } from 'nats';
import { config, tell } from './lines.mjs';

const nc = await connect({ servers: config.nats, token: config.token, maxReconnectAttempts: -1, reconnectTimeWait: 100, waitOnFirstConnect: true });
const manager = await nc.jetstreamManager();
const epoch = (await manager.streams.info('EV')).config.metadata['chatshard-epoch'];
await manager.consumers.add('EV', {
	durable_name: config.durable, filter_subjects: config.filter, ack_policy: AckPolicy.Explicit, ack_wait: 1e9,
});
const consumer = await nc.jetstream().consumers.get('EV', config.durable);
for await (const m of await consumer.consume({ max_messages: 200 })) {
	const stored = m.headers?.get('Chatshard-Encoding') === 'gzip' ? gunzipSync(m.data) : Buffer.from(m.data);
	tell(JSON.stringify({ cursor: { epoch, seq: m.seq }, ...JSON.parse(stored) }));
	m.ack();
}
