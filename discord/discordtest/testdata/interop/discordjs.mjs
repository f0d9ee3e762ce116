// discord.js. Without zlib-sync its compression is that of IDENTIFY.
import { Client, GatewayIntentBits } from 'discord.js';
import { complain, config, onEnd, tell } from './lines.mjs';

const client = new Client({
	intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.MessageContent],
	shards: config.shards > 1 ? 'auto' : undefined,
	rest: { api: config.api },
});
client.on('error', complain).on('shardError', complain).on('warn', complain);
client.on('shardReady', shard => {
	tell('ready', shard, client.guilds.cache.filter(g => g.shardId === shard && g.available).size);
});
client.on('shardResume', shard => tell('resumed', shard));
client.on('messageCreate', message => {
	tell('message', message.channelId, message.author.username, message.content);
	if (message.content === '!ping') message.channel.send('pong').catch(complain);
});
onEnd(() => client.destroy());
await client.login(config.token);
