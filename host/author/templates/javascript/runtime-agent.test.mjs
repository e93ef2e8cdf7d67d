import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Fake } from './native.mjs';
import { agent } from './src/main.js';

const CLUSTER = 'http://ray.example:8265';
let fake, job;

const workload = (changed = {}) => ({
  key: 'k1', kind: 'job', image: { scheme: 'none', uri: '' }, command: ['echo', "it's"], environment: [['A', '1']],
  secretEnvironment: [], files: [], inputs: [], outputs: [], resources: { cpuMillis: 500, requires: [] }, labels: [],
  ...changed,
});

beforeEach(() => {
  [fake, job] = [new Fake(), undefined];
  fake.settings.endpoint = CLUSTER;
  fake.answer = ({ method, url }) => {
    if (method === 'GET' && url === `${CLUSTER}/api/jobs/k1`) return Fake.json(job ? 200 : 404, job ?? null);
    return Fake.json(200, url.endsWith('/logs') ? { logs: 'one\ntwo\nthr' } : {});
  };
});

test('a workload becomes a job of its key', () => {
  assert.equal(agent.submit(workload()), 'k1');
  const sent = JSON.parse(new TextDecoder().decode(fake.requests[1].body));
  assert.deepEqual([sent.submission_id, sent.entrypoint], ['k1', String.raw`'echo' 'it'\''s'`]);
});

test('a key that is there is not submitted again', () => {
  job = { status: 'RUNNING' };
  agent.submit(workload());
  assert.equal(fake.requests.length, 1);
});

test('states are phases and a missing job is not found', () => {
  for (const [status, phase] of [['SUCCEEDED', 'succeeded'], ['STOPPED', 'cancelled'], ['FAILED', 'failed']]) {
    job = { status };
    assert.equal(agent.status('k1').phase, phase);
  }
  job = undefined;
  assert.throws(() => agent.status('k1'), { kind: 'not-found' });
});

test('a log goes on at its cursor', () => {
  job = { status: 'RUNNING' };
  assert.deepEqual(agent.logs('k1', '1'), { lines: ['two'], cursor: '2', ended: false });
});

test('what ray cannot is complained of', () => {
  assert.equal(agent.check(workload({ kind: 'service', files: [['a', 'b']] })).length, 2);
});
