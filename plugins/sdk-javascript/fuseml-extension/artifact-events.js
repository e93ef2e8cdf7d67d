// What was registered with FuseML. Needs the request `artifact-events`.

export { since } from 'fuseml:artifact-events/artifact-events@0.1.0';
