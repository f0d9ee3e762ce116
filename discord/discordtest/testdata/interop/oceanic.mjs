// oceanic.js
import { Client } from 'oceanic.js';
import { complain, config, onEnd, tell, tellReady } from './lines.mjs';

const client = new Client({
	auth: `Bot ${config.token}`,
	rest: { baseURL: `${config.api}/v10` },
	gateway: {
		intents: ['GUILDS', 'GUILD_MESSAGES', 'MESSAGE_CONTENT'],
		maxShards: 'auto', concurrency: 'auto',
		compress: config.compress ? 'zlib-stream' : false,
	},
});
client.on('error', complain).on('warn', complain);
client.on('packet', ({ t, d }, shard) => tellReady(shard, t, d)); // shardReady comes too early after op 9
client.on('shardResume', shard => tell('resumed', shard));
client.on('messageCreate', message => {
	tell('message', message.channelID, message.author.username, message.content);
	if (message.content === '!ping') client.rest.channels.createMessage(message.channelID, { content: 'pong' }).catch(complain);
});
onEnd(() => client.disconnect(false));
await client.connect();
