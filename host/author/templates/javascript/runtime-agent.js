// Workloads as jobs of a Ray cluster, through the Jobs API of its dashboard.
//
// The host's key is the job's submission id, so that asking twice makes one job. A job runs in the cluster's own
// environment: workloads that bring an image, files or inputs are complained of in `check`.

import * as configuration from '../vendor/fuseml-extension/configuration.js';
import * as http from '../vendor/fuseml-extension/http.js';
import { conflict, internal, invalid, notFound, unavailable } from '../vendor/fuseml-extension/error.js';

const PHASES = { PENDING: 'pending', RUNNING: 'running', SUCCEEDED: 'succeeded', STOPPED: 'cancelled' };
// An id is part of a URL.
const ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

// The answer's JSON; undefined where the cluster knows no such job.
function ask(method, path, value) {
  const url = `${configuration.require('endpoint')}/api/jobs/${path}`;
  const body = value && new TextEncoder().encode(JSON.stringify(value));
  const headers = value ? [['content-type', 'application/json']] : [];
  const response = http.fetch(method, url, { headers, body });
  if (response.status === 404) return undefined;
  if (!http.isSuccess(response)) {
    const said = new TextDecoder().decode(response.body).trim().split('\n').pop();
    throw internal('ray-status', `${method} ${url} answered ${response.status}: ${said}`);
  }
  return http.json(response);
}

function jobOf(id) {
  if (!ID.test(id)) throw invalid('job-id', `\`${id.slice(0, 80)}\` is no id of a Ray job`);
  return ask('GET', id);
}

function known(id) {
  const job = jobOf(id);
  if (!job) throw notFound('no-such-job', `the cluster knows no job \`${id}\``);
  return job;
}

const phaseOf = (job) => PHASES[job.status] ?? 'failed';
const ended = (job) => !['pending', 'running'].includes(phaseOf(job));
const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`;
const time = (value) => (value > 0 ? BigInt(value) : undefined);

function complaints(workload) {
  const wrong = [
    [workload.kind === 'service', 'Ray jobs end; services need Ray Serve'],
    [workload.command.length === 0, 'the workload has no command'],
    [workload.image.scheme !== 'none', "Ray jobs run in their cluster's environment and take no image"],
    [workload.files.length > 0, 'Ray jobs take no files'],
    [workload.inputs.length > 0, 'Ray jobs take no staged inputs'],
    [workload.outputs.length > 0, 'nothing collects outputs from a Ray job'],
    [workload.secretEnvironment.length > 0, "Ray shows a job's variables to all, so it takes no secrets"],
    ...workload.resources.requires.map((one) => [true, `nothing says that the cluster has \`${one}\``]),
  ];
  return wrong.filter(([isWrong]) => isWrong).map(([, what]) => what);
}

// The contract's functions. Each call begins anew: nothing is kept between two.
export const agent = {
  describe: () => ({ kinds: ['job'], reads: [], writes: [], capabilities: [] }),

  health() {
    const endpoint = configuration.require('endpoint');
    if (!http.getJson(`${endpoint}/api/version`).ray_version) {
      throw unavailable('no-ray', `${endpoint} answers, but is no Ray dashboard`);
    }
  },

  check: complaints,

  submit(workload) {
    const [complaint] = complaints(workload);
    if (complaint) throw invalid('workload', complaint);
    if (jobOf(workload.key)) return workload.key;
    const { cpuMillis = 0, gpus = 0, memoryBytes = 0n } = workload.resources;
    const job = {
      entrypoint: workload.command.map(quoted).join(' '),
      submission_id: workload.key,
      runtime_env: { env_vars: Object.fromEntries(workload.environment) },
      metadata: Object.fromEntries(workload.labels),
      entrypoint_num_cpus: cpuMillis / 1000,
      entrypoint_num_gpus: gpus,
      entrypoint_memory: Number(memoryBytes),
    };
    try {
      ask('POST', '', job);
    } catch (error) {
      // Another call with this key may have come first.
      if (error.kind !== 'internal' || !jobOf(workload.key)) throw error;
    }
    return workload.key;
  },

  status(id) {
    const job = known(id);
    return {
      phase: phaseOf(job),
      message: job.message ?? undefined,
      exitCode: job.driver_exit_code ?? undefined,
      started: time(job.start_time),
      ended: time(job.end_time),
      results: [],
    };
  },

  // The cursor is the number of lines that were given before. The status is asked for first: what an ended job has
  // logged is complete.
  logs(id, cursor = '0') {
    const over = ended(known(id));
    const text = ask('GET', `${id}/logs`)?.logs ?? '';
    if (!/^[0-9]+$/.test(cursor)) throw invalid('cursor', "this is no cursor of a Ray job's log");
    const lines = text.split('\n');
    // What follows the last line break is no whole line yet, or nothing.
    if (!over || lines[lines.length - 1] === '') lines.pop();
    const given = Number(cursor);
    return { lines: lines.slice(given), cursor: `${Math.max(lines.length, given)}`, ended: over };
  },

  cancel(id) {
    const job = jobOf(id);
    if (job && !ended(job)) ask('POST', `${id}/stop`);
  },

  delete(id) {
    const job = jobOf(id);
    if (!job) return;
    if (!ended(job)) throw conflict('job-running', `the job \`${id}\` has not ended; cancel it first`);
    ask('DELETE', id);
  },
};
