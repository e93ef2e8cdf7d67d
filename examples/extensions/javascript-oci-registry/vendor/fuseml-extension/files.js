// The codeset's files: read-only, paths relative and `/`-separated. Needs the request `files`.

import { find as ask, read as readFile } from 'fuseml:files/files@0.1.0';
import { reasonOf } from './error.js';

/** Every entry whose path matches (`*` stays inside a folder, `**` does not), sorted by path. */
export function find(glob) {
  const found = ask(glob);
  while (found.length > 0) {
    const more = ask(glob, found[found.length - 1].path);
    if (more.length === 0) break;
    found.push(...more);
  }
  return found;
}

/** Is there a file of exactly this path? */
export const exists = (path) => ask(path).some((entry) => entry.path === path);

/** The whole file as bytes; throws `not-found` without one. */
export const read = (path) => readFile(path);

/** The whole file as text; undefined when there is no such file. */
export function readTextIfThere(path) {
  try {
    return new TextDecoder().decode(readFile(path));
  } catch (error) {
    if (reasonOf(error)?.kind === 'not-found') return undefined;
    throw error;
  }
}
