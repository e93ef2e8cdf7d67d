import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Fake } from './native.mjs';
import { store } from './src/main.js';

const INDEX = [
  { name: 'wine', version: '2', uri: 'https://models.example/wine-2', created: 2 },
  { name: 'iris', version: '1', uri: 'https://models.example/iris-1', created: 1 },
];
let fake;

beforeEach(() => {
  fake = new Fake();
  fake.settings.endpoint = 'https://models.example';
  fake.answer = (request) => Fake.json(request.url === 'https://models.example/index.json' ? 200 : 404, INDEX);
});

test('pages follow each other', () => {
  const first = store.search({ kind: 'model', conditions: [] }, { limit: 1 });
  assert.deepEqual(first.items.map((item) => item.id), ['iris/1']);
  const second = store.search({ kind: 'model', conditions: [] }, { cursor: first.next, limit: 1 });
  assert.deepEqual(second.items.map((item) => item.id), ['wine/2']);
  assert.equal(second.next, undefined);
});

test('a model is located and another is not there', () => {
  assert.equal(store.locate('iris/1').root.uri, 'https://models.example/iris-1');
  assert.throws(() => store.get('iris/9'), { kind: 'not-found' });
});

test('a server that fails is not healthy', () => {
  store.health();
  fake.answer = () => Fake.json(500, null);
  assert.throws(() => store.health(), { code: 'http-status' });
});

test('it only reads', () => {
  assert.throws(() => store.delete('iris/1'), { kind: 'unsupported' });
});
