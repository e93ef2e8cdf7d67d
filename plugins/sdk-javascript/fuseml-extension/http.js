// Outgoing HTTP inside the grant. Redirects are returned, never followed. Needs the request `http`.

import { fetch as send } from 'fuseml:http/http@0.1.0';
import { internal } from './error.js';

/**
 * Sends it. Any status is an answer; throws `denied` outside the grant, `unavailable` without an answer.
 * `secretHeaders` are `{name, template, secret}`: the host puts the secret in place of `{}`.
 */
export function fetch(method, url, { headers = [], body, secretHeaders = [], timeoutMs } = {}) {
  return send({ method, url, headers, secretHeaders, body, timeoutMs });
}

/** Is the status 2xx? */
export const isSuccess = (response) => response.status >= 200 && response.status < 300;

/** The body as text. */
export const text = (response) => new TextDecoder().decode(response.body);

/** The body as JSON; throws `internal` when it is none. */
export function json(response) {
  try {
    return JSON.parse(text(response));
  } catch (error) {
    throw internal('json', `the answer is no JSON: ${error.message}`);
  }
}

/** GET, and the body as JSON. Any status but 2xx throws `internal`. */
export function getJson(url) {
  const response = fetch('GET', url, { headers: [['accept', 'application/json']] });
  if (!isSuccess(response)) throw internal('http-status', `GET ${url} answered ${response.status}`);
  return json(response);
}

/** The first value of a header, whatever its case. */
export function header(response, name) {
  return response.headers.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}
