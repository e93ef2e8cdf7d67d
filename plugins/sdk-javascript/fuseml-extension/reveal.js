// The value of a secret. Needs the request `reveal`, which admins are shown as the strongest there is: where a header
// will do, name the secret in `http` instead and never hold it.

export { secret } from 'fuseml:reveal/reveal@0.1.0';
