// The manifests of an OCI registry as an artifact store: each is one model version, by repository and digest.
//
// | FuseML | registry |
// |---|---|
// | name, version | repository, manifest digest |
// | tag | tag |
// | attribute, label | annotation of the manifest, which never changes |
//
// A manifest without a tag cannot be listed by any registry, so registering gives it one of its own, which is not shown.

import * as configuration from '../vendor/fuseml-extension/configuration.js';
import * as http from '../vendor/fuseml-extension/http.js';
import { invalid, notFound, unavailable, unsupported } from '../vendor/fuseml-extension/error.js';

const TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const CREATED = 'org.opencontainers.image.created';
const ID = /^([a-z0-9]+(?:[._\/-]+[a-z0-9]+)*)@(sha256:[0-9a-f]{64})$/;
const OWN = /^fuseml-[0-9a-f]{32}$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

const endpoint = () => configuration.require('endpoint');

function ask(method, path, { headers = [], body } = {}) {
  const response = http.fetch(method, `${endpoint()}/v2/${path}`, { headers, body });
  if (response.status === 404) return undefined;
  if (!http.isSuccess(response)) {
    throw unavailable('registry-status', `the registry answered ${response.status} to ${method} /v2/${path}`);
  }
  return response;
}

// A list that the registry gives page by page; the header `link` names the next.
function all(path, key) {
  const items = [];
  for (let next = path; next; ) {
    const response = ask('GET', next);
    if (!response) return items;
    items.push(...(http.json(response)[key] ?? []));
    next = /<(?:[^>]*?)\/v2\/([^>]+)>;\s*rel="?next/.exec(http.header(response, 'link') ?? '')?.[1];
  }
  return items;
}

function partsOf(id) {
  const [, repository, digest] = ID.exec(id) ?? [];
  if (!repository) throw invalid('id', `\`${id}\` is not <repository>@sha256:<digest>`);
  return { repository, digest };
}

const manifestOf = (repository, reference, method = 'GET') =>
  ask(method, `${repository}/manifests/${reference}`, { headers: [['accept', TYPES.join(', ')]] });

// Tags of a repository, by the digest that they point to.
function tagsOf(repository) {
  const tags = new Map();
  for (const tag of all(`${repository}/tags/list`, 'tags')) {
    const response = manifestOf(repository, tag, 'HEAD');
    const digest = response && http.header(response, 'docker-content-digest');
    if (digest) tags.set(digest, [...(tags.get(digest) ?? []), tag].sort());
  }
  return tags;
}

function descriptor(repository, digest, tags) {
  const response = manifestOf(repository, digest);
  if (!response) throw notFound('no-such-manifest', `the registry has no \`${repository}@${digest}\``);
  const { annotations = {}, artifactType } = http.json(response);
  const created = Date.parse(annotations[CREATED] ?? '');
  const attributes = Object.entries(annotations).filter(([name]) => name !== CREATED);
  if (artifactType) attributes.push(['artifact-type', artifactType]);
  return {
    id: `${repository}@${digest}`,
    kind: 'model',
    name: repository,
    version: digest,
    digest,
    created: BigInt(Number.isNaN(created) ? 0 : created),
    attributes,
    metrics: [],
    labels: [],
    tags: tags.filter((name) => !OWN.test(name)),
    parents: [],
  };
}

function found(id) {
  const { repository, digest } = partsOf(id);
  return descriptor(repository, digest, tagsOf(repository).get(digest) ?? []);
}

// A tag is the manifest put once more under that name; putting it twice changes nothing.
function tag(id, tags) {
  const wrong = tags.find((name) => !TAG.test(name));
  if (wrong !== undefined) throw invalid('tag', `\`${wrong}\` cannot be a tag in an OCI registry`);
  const { repository, digest } = partsOf(id);
  const manifest = manifestOf(repository, digest);
  if (!manifest) throw notFound('no-such-manifest', `the registry has no \`${id}\``);
  const headers = [['content-type', http.header(manifest, 'content-type') ?? TYPES[0]]];
  for (const name of tags) ask('PUT', `${repository}/manifests/${name}`, { headers, body: manifest.body });
}

const host = () => endpoint().replace(/^https?:\/\//, '');

// The contract's functions. Each call begins anew: nothing is kept between two.
export const store = {
  describe: () => ({
    kinds: ['model'],
    pattern: 'adapter',
    schemes: ['oci'],
    operations: ['register', 'update-tags', 'delete'],
  }),

  health() {
    if (!ask('GET', '')) throw unavailable('no-registry', `nothing at ${endpoint()} answers as an OCI registry`);
  },

  // The workload has pushed the manifest; what is left is to tag it.
  register(draft) {
    const prefix = `${host()}/`;
    const { scheme, uri } = draft.contents;
    if (scheme !== 'oci' || !uri.startsWith(prefix)) {
      throw invalid('elsewhere', `\`${uri}\` is not in this registry; push it to ${prefix} first`);
    }
    const id = uri.slice(prefix.length);
    tag(id, [`fuseml-${partsOf(id).digest.slice('sha256:'.length, 'sha256:'.length + 32)}`, ...draft.descriptor.tags]);
    return found(id);
  },

  get: found,

  search(query, page) {
    // The host applies the conditions that a store leaves in `unapplied`.
    const unapplied = query.conditions;
    if (query.kind !== 'model') return { items: [], unapplied };
    const ids = all('_catalog', 'repositories').flatMap((repository) =>
      [...tagsOf(repository)].map(([digest, tags]) => ({ repository, digest, tags, id: `${repository}@${digest}` })),
    );
    // The cursor is the last id of the page before.
    const later = ids.filter(({ id }) => page.cursor === undefined || id > page.cursor);
    later.sort((a, b) => (a.id < b.id ? -1 : 1));
    const shown = later.slice(0, Math.max(page.limit, 1));
    const next = later.length > shown.length ? shown[shown.length - 1].id : undefined;
    return { items: shown.map((one) => descriptor(one.repository, one.digest, one.tags)), next, unapplied };
  },

  update(id, change) {
    if (change.labels || change.removeTags.length > 0) {
      throw unsupported('immutable', 'an OCI registry neither changes annotations nor takes back tags');
    }
    tag(id, change.addTags);
    return found(id);
  },

  // One that is gone already is no error.
  delete(id) {
    const { repository, digest } = partsOf(id);
    ask('DELETE', `${repository}/manifests/${digest}`);
  },

  locate(id) {
    const { digest } = found(id);
    const root = { scheme: 'oci', uri: `${host()}/${id}`, credential: { kind: 'none', parameters: [] }, digest };
    return { root, files: [] };
  },
};
