// Small durable values, visible to this instance only. Needs the request `state`.

export { compareAndSet, delete, get, listKeys, set } from 'fuseml:state/state@0.1.0';
