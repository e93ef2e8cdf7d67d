// The time of day. Always granted. JavaScript's own clock does not work in a component.

export { now } from 'fuseml:clock/clock@0.1.0';
