// Typed errors: one constructor a kind. `throw invalid('code', 'one sentence')`.
//
// The code is for machines and stays the same for ever. The message says what went wrong, on which input, and
// what to do next. Neither ever holds a secret.

// What is thrown is the contract's record itself: the engine hands its fields over.
const error = (kind) => (code, message, details = []) => ({ kind, code, message, details });

/** The thing asked for is not there. */
export const notFound = error('not-found');
/** The request can never succeed as it is. */
export const invalid = error('invalid');
/** Credentials or rights are missing. */
export const denied = error('denied');
/** The tool cannot be reached; the same request may succeed later. */
export const unavailable = error('unavailable');
/** The request contradicts what is already there. */
export const conflict = error('conflict');
/** The tool or this component cannot do this at all. */
export const unsupported = error('unsupported');
/** A fault of the component or of the tool. */
export const internal = error('internal');

/** The record in what was caught: an error of the host comes wrapped, one thrown here does not. */
export const reasonOf = (caught) => caught?.payload ?? caught;
