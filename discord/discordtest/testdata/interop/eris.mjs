// eris. It takes a host for its REST calls, but no port. Its compression needs
// an addon, or an old pako.
import https from 'node:https';
import Eris from 'eris';
import { complain, config, onEnd, tell, tellReady } from './lines.mjs';

const agent = new class extends https.Agent {
	createConnection(options, done) {
		return super.createConnection({ ...options, port: config.port }, done);
	}
}();
const client = new Eris(`Bot ${config.token}`, {
	intents: ['guilds', 'guildMessages', 'messageContent'],
	maxShards: 'auto', shardConcurrency: 'auto',
	rest: { domain: config.host, agent },
	ws: { agent },
});
client.on('error', complain).on('warn', complain);
client.on('rawWS', ({ t, d }, shard) => tellReady(shard, t, d)); // shardReady does not come after op 9
client.on('shardResume', shard => tell('resumed', shard));
client.on('messageCreate', message => {
	tell('message', message.channel.id, message.author.username, message.content);
	if (message.content === '!ping') client.createMessage(message.channel.id, 'pong').catch(complain);
});
onEnd(() => {
	client.disconnect({ reconnect: false });
	agent.destroy();
});
await client.connect();
