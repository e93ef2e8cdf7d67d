// For native tests: the contracts' modules, answered by the fake host that `Fake` is.

import { register } from 'node:module';

const functions = {
  'artifact-events': ['since'],
  clock: ['now'],
  configuration: ['get'],
  files: ['find', 'read'],
  http: ['fetch'],
  logging: ['log'],
  random: ['bytes'],
  reveal: ['secret'],
  state: ['compareAndSet', 'delete', 'get', 'listKeys', 'set'],
};

/** Settings, files and an answer to HTTP; what the component did is in `requests` and `lines`. */
export class Fake {
  settings = {};
  files = {};
  values = {};
  secrets = {};
  events = [];
  requests = [];
  lines = [];
  time = 0n;
  answer = (request) => refuse('denied', 'not-granted', `no test answers ${request.url}`);

  constructor() {
    globalThis.fuseml = {
      clock: { now: () => this.time },
      configuration: { get: (name) => this.settings[name] },
      logging: { log: (level, message) => void this.lines.push([level, message]) },
      random: { bytes: (length) => Uint8Array.from({ length: Math.min(length, 4096) }, (_, n) => n) },
      http: {
        fetch: (request) => {
          this.requests.push(request);
          return this.answer(request);
        },
      },
      files: {
        find: (glob, after = '') => this.#find(glob, after),
        read: (path) => this.#file(path),
      },
      reveal: {
        secret: (name) => this.secrets[name] ?? refuse('denied', 'secret-unknown', `no test reveals \`${name}\``),
      },
      'artifact-events': {
        since: (after, limit) => this.events.filter((event) => event.sequence > after).slice(0, Math.max(limit, 1)),
      },
      state: {
        get: (key) => this.values[key],
        set: (key, value) => void (this.values[key] = value),
        delete: (key) => void delete this.values[key],
      },
    };
  }

  /** A JSON answer. */
  static json(status, value) {
    const body = new TextEncoder().encode(JSON.stringify(value));
    return { status, headers: [['content-type', 'application/json']], body };
  }

  #file(path) {
    if (!(path in this.files)) refuse('not-found', 'no-such-file', `there is no file \`${path}\``);
    return new TextEncoder().encode(this.files[path]);
  }

  // Whole paths and `**` are enough for tests.
  #find(glob, after) {
    const found = Object.keys(this.files).filter((path) => path > after && (glob === '**' || glob === path));
    return found.sort().map((path) => ({ path, sizeBytes: 0n, digest: 'fake:0', executable: false }));
  }
}

// As the engine throws what the host refuses.
function refuse(kind, code, message) {
  throw Object.assign(new Error(message), { payload: { kind, code, message, details: [] } });
}

const sources = Object.entries(functions).map(([name, all]) => {
  const lines = all.map((one) => `const f_${one} = (...a) => globalThis.fuseml['${name}'].${one}(...a); export { f_${one} as ${one} };`);
  return [`fuseml:${name}/${name}@0.1.0`, lines.join('\n')];
});
const hooks = `
  const sources = new Map(${JSON.stringify(sources)});
  export const resolve = (name, context, next) =>
    sources.has(name) ? { url: name, shortCircuit: true } : next(name, context);
  export const load = (url, context, next) =>
    sources.has(url) ? { format: 'module', source: sources.get(url), shortCircuit: true } : next(url, context);
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
