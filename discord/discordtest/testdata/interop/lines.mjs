// What the clients beside this file share. A client gets where to connect, and
// as whom, as JSON in the environment variable INTEROP. It says on standard
// output what happens, one event a line:
//
//   ready SHARD GUILDS             a session began and all its guilds are there
//   resumed SHARD
//   message CHANNEL AUTHOR TEXT
//
// answers "!ping" with "pong", and quits when standard input ends.
export const config = JSON.parse(process.env.INTEROP);

export function tell(...words) {
	process.stdout.write(words.join(' ') + '\n');
}

export function complain(err) {
	console.error(err);
}

// onEnd calls quit when standard input ends.
export function onEnd(quit) {
	process.stdin.resume().on('end', quit);
}
