// What the clients beside this file share. A client gets where the relay is, and
// where to begin, as JSON in the environment variable INTEROP. It writes each
// envelope with its cursor to standard output, a line each, as it comes, and is
// killed without a word.
import { writeSync } from 'node:fs';

export const config = JSON.parse(process.env.INTEROP);

// The line is out before this returns, and before it is acknowledged. What
// process.stdout.write is given may wait in this process and die with it.
export function tell(line) {
	for (let rest = Buffer.from(line + '\n'); rest.length > 0;) {
		rest = rest.subarray(writeSync(1, rest));
	}
}
