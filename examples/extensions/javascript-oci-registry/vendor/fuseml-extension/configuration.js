// The instance's settings, already checked against the manifest. Needs the request `configuration`.

import { get as read } from 'fuseml:configuration/configuration@0.1.0';
import { invalid } from './error.js';

/** The value of a setting; undefined when it has neither a value nor a default. */
export const get = (name) => read(name);

/** The value of a setting that this component cannot do without; throws `invalid` without one. */
export function require(name) {
  const value = read(name);
  if (value === undefined) {
    throw invalid('setting-missing', `the setting \`${name}\` has no value; set it on the instance`);
  }
  return value;
}
