// @twurple/chat, over WebSocket or TCP, on the service's own ports.
import { StaticAuthProvider } from '@twurple/auth';
import { ChatClient, UserState } from '@twurple/chat';
import { agent, config, listen, tell } from './lines.mjs';

// The client asks the service's HTTP API who a token belongs to. There is no
// such API here: this is its answer.
globalThis.fetch = async () => Response.json({
	client_id: 'interop', login: config.login, user_id: '1', expires_in: 3600,
	scopes: ['chat:read', 'chat:edit'],
});

const client = new ChatClient({
	authProvider: config.login ? new StaticAuthProvider('interop', config.token) : undefined,
	hostName: config.host, ssl: config.tls, webSocket: config.webSocket,
	connectionOptions: { wsOptions: { agent: agent() } },
	channels: config.channels,
	logger: { minLevel: 'critical' },
});
client.onAuthenticationSuccess(() => tell('connected'));
client.onJoin((channel, nick) => tell('joined', `#${channel}`));
client.onMessage((channel, nick, text) => tell('message', `#${channel}`, nick, text));
client.irc.onTypedMessage(UserState, m => m.tags.get('id') && tell('sent', m.channel));
client.connect();
listen((channel, text) => client.say(channel, text));
