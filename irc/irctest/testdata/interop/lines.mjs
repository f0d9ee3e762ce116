// What the clients beside this file share. A client gets where to connect, and
// as whom, as JSON in the environment variable INTEROP. It says on standard
// output what happens, one event a line:
//
//   connected
//   joined #channel
//   message #channel nick text
//   sent #channel             the service has taken our message
//
// and is told on standard input, a command a line, what to do:
//
//   say #channel text
//
// It quits when standard input ends.
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';

export const config = JSON.parse(process.env.INTEROP);

export function tell(...words) {
	process.stdout.write(words.join(' ') + '\n');
}

export function listen(say) {
	const input = createInterface({ input: process.stdin });
	input.on('line', line => {
		const [, channel, text] = line.match(/^say (\S+) (.*)$/);
		Promise.resolve(say(channel, text)).catch(err => console.error(err));
	});
	input.on('close', () => process.exit(0));
}

// agent leads connections to the server's port where a client insists on the
// service's own.
export function agent() {
	const { Agent } = config.tls ? https : http;
	return new class extends Agent {
		createConnection(options, done) {
			return super.createConnection({ ...options, port: config.port }, done);
		}
	}();
}
