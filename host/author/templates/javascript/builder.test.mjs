import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Fake } from './native.mjs';
import { build } from './src/main.js';

const codeset = { address: 'codeset://p/c', name: 'c', changedFiles: [] };
let fake;

beforeEach(() => {
  fake = new Fake();
});

test('only a codeset with a job is its own', () => {
  assert.equal(build.detect().confidence, 0);
  assert.throws(() => build.plan(codeset), { code: 'no-job' });
  fake.files['job.py'] = 'print(1)';
  assert.equal(build.detect().confidence, 100);
});

test('requirements decide the environment', () => {
  fake.files['job.py'] = 'print(1)';
  fake.files['requirements.txt'] = '# tools\nscikit-learn>=1.5\n';
  const first = build.plan(codeset);
  assert.equal(first.rebuild, true);
  assert.deepEqual(first.environments[0].requirements, ['scikit-learn>=1.5']);
  const previous = { environmentDigest: first.environments[0].digest, runnables: [] };
  assert.equal(build.plan(codeset, previous).rebuild, false);
  fake.files['requirements.txt'] = 'scikit-learn>=1.6\n';
  assert.equal(build.plan(codeset, previous).rebuild, true);
});
