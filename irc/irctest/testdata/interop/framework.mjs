// irc-framework, on a plain IRC network.
import { Client } from 'irc-framework';
import { config, listen, tell } from './lines.mjs';

const client = new Client();
client.on('registered', () => {
	tell('connected');
	for (const channel of config.channels) client.join(channel);
});
client.on('join', e => e.nick === client.user.nick && tell('joined', e.channel));
client.on('privmsg', e => tell('message', e.target, e.nick, e.message));
client.on('sasl failed', e => tell('refused', e.reason));
client.connect({
	host: config.host, port: config.port, tls: config.tls, nick: config.nick,
	account: config.login ? { account: config.login, password: config.token } : undefined,
});
// A connection that lives for less than 5 s is not made again.
client.on('registered', () => setTimeout(() => tell('settled'), 5100));
listen((channel, text) => client.say(channel, text));
