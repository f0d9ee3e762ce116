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

const coming = new Map(); // by shard: how many guilds, and which are there

// tellReady says so when an event is the last that a new session waits for, for
// clients that do not say it the second time.
export function tellReady(shard, t, d) {
	if (t === 'READY') coming.set(shard, { want: d.guilds.length, got: new Set() });
	const guilds = coming.get(shard);
	if (t === 'GUILD_CREATE' && guilds.got.add(d.id).size === guilds.want) tell('ready', shard, guilds.want);
}
