// Lines for the extension's log. Always granted. Never log a secret.

import { log } from 'fuseml:logging/logging@0.1.0';

/** For whoever writes the extension. */
export const debug = (message, fields = []) => log('debug', message, fields);
/** For whoever runs it. */
export const info = (message, fields = []) => log('info', message, fields);
/** Something is not as it should be, and the call goes on. */
export const warn = (message, fields = []) => log('warn', message, fields);
/** The call fails for a reason that is worth a line of its own. */
export const error = (message, fields = []) => log('error', message, fields);
