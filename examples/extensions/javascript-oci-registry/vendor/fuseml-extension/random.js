// Random bytes fit for keys, at most 4096 a call. Always granted. JavaScript's own randomness does not work.

export { bytes } from 'fuseml:random/random@0.1.0';
