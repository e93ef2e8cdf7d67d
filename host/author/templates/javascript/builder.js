// A codeset with a `job.py` becomes a trainer that runs it, with what `requirements.txt` names.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import * as files from '../vendor/fuseml-extension/files.js';
import { invalid } from '../vendor/fuseml-extension/error.js';

const JOB = 'job.py';
const PYTHON = '3.11';

function environmentOf(name) {
  const lines = (files.readTextIfThere('requirements.txt') ?? '').split('\n').map((line) => line.trim());
  const requirements = lines.filter((line) => line && !line.startsWith('#'));
  const install = requirements.map((requirement) => ` '${requirement}'`).join('');
  const dockerfile = `FROM python:${PYTHON}-slim\n${install ? `RUN pip install${install}\n` : ''}`;
  const digest = `sha256:${bytesToHex(sha256(utf8ToBytes(dockerfile)))}`;
  return { name, dockerfile, python: PYTHON, requirements, digest };
}

const trainer = (environment) => ({
  name: 'trainer',
  kind: 'trainer',
  environment,
  command: ['python', `codeset/${JOB}`],
  scripts: [],
  variables: [],
  inputs: [
    {
      name: 'codeset',
      description: 'the code itself',
      kind: 'codeset',
      requires: [],
      optional: false,
      path: 'codeset',
      changeFilter: [],
    },
  ],
  outputs: [
    {
      name: 'model',
      description: 'what the job leaves in the folder model',
      kind: 'model',
      provides: [],
      path: 'model',
    },
  ],
  parameters: [],
  resources: [],
  labels: [],
});

// The contract's functions. Each call begins anew: nothing is kept between two.
export const build = {
  detect() {
    const found = files.exists(JOB);
    return found ? { confidence: 100, reason: JOB } : { confidence: 0, reason: `there is no ${JOB}` };
  },

  plan(codeset, previous) {
    if (!files.exists(JOB)) throw invalid('no-job', `the codeset \`${codeset.name}\` has no ${JOB}`);
    const environment = environmentOf(codeset.name);
    const rebuild = previous?.environmentDigest !== environment.digest;
    const reason = rebuild ? 'the environment is new or changed' : 'the environment is the same';
    return { rebuild, reason, environments: [environment], runnables: [trainer(environment.name)] };
  },
};
