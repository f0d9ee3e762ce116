// tmi.js, which speaks WebSocket alone.
import tmi from 'tmi.js';
import { agent, config, listen, tell } from './lines.mjs';

const client = new tmi.Client({
	options: { joinInterval: 300, skipUpdatingEmotesets: true },
	connection: {
		server: config.host, port: config.port, secure: config.tls,
		reconnectInterval: 100, agent: agent(),
	},
	identity: config.login ? { username: config.login, password: `oauth:${config.token}` } : undefined,
	channels: config.channels,
});
client.on('connected', () => tell('connected'));
client.on('join', (channel, nick, self) => self && tell('joined', channel));
client.on('message', (channel, tags, text, self) => self || tell('message', channel, tags.username, text));
client.on('raw_message', m => m.command === 'USERSTATE' && m.tags.id && tell('sent', m.params[0]));
client.connect().catch(err => console.error(err));
listen((channel, text) => client.say(channel, text));
