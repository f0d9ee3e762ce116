// @discordjs/ws and @discordjs/rest, which discord.js is made of, in their next
// version, with zlib-stream. With the compression of IDENTIFY it inflates in several
// threads at once, and payloads overtake each other.
import { REST } from '@discordjs/rest';
import { CompressionMethod, WebSocketManager, WebSocketShardEvents } from '@discordjs/ws';
import { complain, config, onEnd, tell, tellReady } from './lines.mjs';

const rest = new REST({ version: '10', api: config.api }).setToken(config.token);
const manager = new WebSocketManager({
	token: config.token,
	intents: 1 << 0 | 1 << 9 | 1 << 15,
	rest,
	compression: CompressionMethod.ZlibNative,
});
manager.on(WebSocketShardEvents.Error, complain).on(WebSocketShardEvents.SocketError, complain);
manager.on(WebSocketShardEvents.Resumed, shard => tell('resumed', shard));
manager.on(WebSocketShardEvents.Dispatch, ({ t, d }, shard) => {
	tellReady(shard, t, d);
	if (t !== 'MESSAGE_CREATE') return;
	tell('message', d.channel_id, d.author.username, d.content);
	if (d.content === '!ping') rest.post(`/channels/${d.channel_id}/messages`, { body: { content: 'pong' } }).catch(complain);
});
onEnd(() => {
	rest.clearHashSweeper();
	rest.clearHandlerSweeper();
	return manager.destroy();
});
await manager.connect();
