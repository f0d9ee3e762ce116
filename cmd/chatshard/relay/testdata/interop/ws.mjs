import WebSocket from 'ws';
import { config, tell } from './lines.mjs';

let from = config.from;

function connect() {
	const socket = new WebSocket(`ws://${config.http}/v1/ws?from=${from}`);
	socket.on('message', data => {
		const envelope = JSON.parse(data);
		if (envelope.type === 'hello') return;
		tell(data);
		from = `${envelope.cursor.epoch}:${envelope.cursor.seq}`;
	});
	socket.on('error', () => {}); // close follows
	socket.on('close', () => setTimeout(connect, 100));
}
connect();
