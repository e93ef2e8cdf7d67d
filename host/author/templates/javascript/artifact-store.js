// The models that `index.json` on a web server lists, as an artifact store that only reads.
//
// `index.json` is a list: `[{"name": "iris", "version": "1", "uri": "https://…", "created": 1700000000000}]`.

import * as configuration from '../vendor/fuseml-extension/configuration.js';
import * as http from '../vendor/fuseml-extension/http.js';
import { notFound, unsupported } from '../vendor/fuseml-extension/error.js';

const idOf = (entry) => `${entry.name}/${entry.version}`;

const descriptor = (entry) => ({
  id: idOf(entry),
  kind: 'model',
  name: entry.name,
  version: entry.version,
  created: BigInt(entry.created),
  attributes: [],
  metrics: [],
  labels: [],
  tags: [],
  parents: [],
});

// The list, ordered by id so that pages follow each other.
function entries() {
  const list = http.getJson(`${configuration.require('endpoint')}/index.json`);
  return list.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
}

function entryOf(id) {
  const found = entries().find((entry) => idOf(entry) === id);
  if (!found) throw notFound('no-such-model', `index.json lists no model \`${id}\``);
  return found;
}

function readOnly(what) {
  throw unsupported('read-only-store', `this store cannot ${what}: change index.json instead`);
}

// The contract's functions. Each call begins anew: nothing is kept between two.
export const store = {
  describe: () => ({ kinds: ['model'], pattern: 'adapter', schemes: ['https'], operations: [] }),

  health() {
    entries();
  },

  register: () => readOnly('register'),

  get: (id) => descriptor(entryOf(id)),

  search(query, page) {
    // The host applies the conditions that a store leaves in `unapplied`.
    const unapplied = query.conditions;
    if (query.kind !== 'model') return { items: [], unapplied };
    // The cursor is the last id of the page before.
    const found = entries().filter((entry) => page.cursor === undefined || idOf(entry) > page.cursor);
    const shown = found.slice(0, Math.max(page.limit, 1));
    const next = found.length > shown.length ? idOf(shown[shown.length - 1]) : undefined;
    return { items: shown.map(descriptor), next, unapplied };
  },

  update: () => readOnly('update'),

  delete: () => readOnly('delete'),

  locate: (id) => ({
    root: { scheme: 'https', uri: entryOf(id).uri, credential: { kind: 'none', parameters: [] } },
    files: [],
  }),
};
