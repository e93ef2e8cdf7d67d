// Makes the component of src/main.js. Run by `fuseml extension build`, with the contracts' folder, the world
// and the file to make.

import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';
import { writeFile } from 'node:fs/promises';

const [, , witPath, worldName, output] = process.argv;
// One file of the module and the packages that it uses; the contracts stay imports.
const sourcePath = 'target/bundle.js';
await build({
  entryPoints: ['src/main.js'],
  outfile: sourcePath,
  bundle: true,
  format: 'esm',
  external: ['fuseml:*'],
  logLevel: 'warning',
});
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName,
  // Without these the component imports FuseML's interfaces and nothing else.
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(output, component);
