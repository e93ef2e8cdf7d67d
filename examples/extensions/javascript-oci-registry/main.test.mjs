import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Fake } from './native.mjs';
import { store } from './src/main.js';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const ID = `team/iris@${DIGEST}`;
const TYPE = 'application/vnd.oci.image.manifest.v1+json';
const MANIFEST = { annotations: { framework: 'sklearn', 'org.opencontainers.image.created': '2026-01-02T00:00:00Z' } };
let fake;
let tags;

// A registry with one repository, one manifest, and tags that can be put.
function registry({ method, url, body }) {
  const path = url.replace('https://registry.example/v2/', '');
  const [, reference] = /^team\/iris\/manifests\/(.+)$/.exec(path) ?? [];
  if (path === '') return Fake.json(200, {});
  if (path === '_catalog') {
    return { ...Fake.json(200, { repositories: [] }), headers: [['Link', '</v2/_catalog?n=1&last=a>; rel="next"']] };
  }
  if (path === '_catalog?n=1&last=a') return Fake.json(200, { repositories: ['team/iris'] });
  if (path === 'team/iris/tags/list') return Fake.json(200, { tags: [...tags] });
  if (reference && method === 'PUT') {
    assert.deepEqual(JSON.parse(new TextDecoder().decode(body)), MANIFEST);
    tags.add(reference);
    return Fake.json(201, null);
  }
  if (reference && method === 'DELETE') return Fake.json(tags.size ? 202 : 404, tags.clear() ?? null);
  if (reference === DIGEST || tags.has(reference)) {
    return { ...Fake.json(200, MANIFEST), headers: [['Docker-Content-Digest', DIGEST], ['Content-Type', TYPE]] };
  }
  return Fake.json(404, null);
}

beforeEach(() => {
  tags = new Set(['v1', 'latest']);
  fake = new Fake();
  fake.settings.endpoint = 'https://registry.example';
  fake.answer = registry;
});

test('tags of one manifest are one model, on whatever page of the catalogue', () => {
  const { items, next } = store.search({ kind: 'model', conditions: [] }, { limit: 10 });
  assert.deepEqual(items.map((item) => [item.id, item.tags]), [[ID, ['latest', 'v1']]]);
  assert.deepEqual(items[0].attributes, [['framework', 'sklearn']]);
  assert.equal(items[0].created, BigInt(Date.UTC(2026, 0, 2)));
  assert.equal(next, undefined);
});

test('a pushed manifest is registered twice with the same outcome', () => {
  const contents = { scheme: 'oci', uri: `registry.example/${ID}` };
  const draft = { descriptor: { tags: ['best'] }, contents };
  assert.deepEqual(store.register(draft).tags, ['best', 'latest', 'v1']);
  assert.deepEqual(store.register(draft).tags, ['best', 'latest', 'v1']);
  const elsewhere = { ...draft, contents: { scheme: 'oci', uri: `other.example/${ID}` } };
  assert.throws(() => store.register(elsewhere), { kind: 'invalid' });
});

test('contents are located by digest', () => {
  const { root } = store.locate(ID);
  assert.deepEqual([root.uri, root.digest], [`registry.example/${ID}`, DIGEST]);
  assert.throws(() => store.locate('team/iris:v1'), { code: 'id' });
});

test('deleting twice is no error, and tags that cannot be are refused', () => {
  assert.throws(() => store.update(ID, { addTags: ['../x'], removeTags: [] }), { code: 'tag' });
  store.delete(ID);
  store.delete(ID);
  assert.deepEqual(store.search({ kind: 'model', conditions: [] }, { limit: 10 }).items, []);
});

test('a server that is no registry is not healthy', () => {
  store.health();
  fake.answer = () => Fake.json(404, null);
  assert.throws(() => store.health(), { code: 'no-registry' });
});
