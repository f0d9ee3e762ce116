import { EventSource } from 'eventsource';
import { config, tell } from './lines.mjs';

// Where it goes on after an interruption it knows by itself: Last-Event-ID.
const events = new EventSource(`http://${config.http}/v1/sse?from=${config.from}`);
events.onmessage = event => tell(event.data);
