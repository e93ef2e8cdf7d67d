// Makes the component of src/main.js. Run by `fuseml extension build`, with the contracts' folder, the world
// and the file to make.

import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const [, , witPath, worldName, output] = process.argv;
const { component } = await componentize({
  sourcePath: 'src/main.js',
  witPath,
  worldName,
  // Without these the component imports FuseML's interfaces and nothing else.
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(output, component);
