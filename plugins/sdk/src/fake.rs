//! The host of a plain native `cargo test`: one per thread, empty until a test fills it.
//!
//! ```
//! use fuseml_extension::{configuration, fake::Fake, http};
//!
//! let fake = Fake::install();
//! fake.setting("endpoint", "http://tool.example");
//! fake.http(|request| Ok(Fake::json(200, &format!(r#""{} {}""#, request.method, request.url))));
//!
//! let url = configuration::require("endpoint").unwrap();
//! assert_eq!(http::get_json::<String>(&url).unwrap(), "GET http://tool.example");
//! ```

use crate::host::artifact_events::Event;
use crate::host::http::{Request, Response};
use crate::host::log::Level;
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

type Responder = Box<dyn Fn(&Request) -> Result<Response>>;

#[derive(Default)]
struct World {
    settings: BTreeMap<String, String>,
    secrets: BTreeSet<String>,
    revealed: BTreeMap<String, Vec<u8>>,
    events: Vec<Event>,
    files: BTreeMap<String, Vec<u8>>,
    state: BTreeMap<String, Vec<u8>>,
    responder: Option<Responder>,
    requests: Vec<Request>,
    log: Vec<(Level, String)>,
    now: u64,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(act)
}

/// A handle on the running thread's fake host.
#[derive(Debug)]
pub struct Fake(());

impl Fake {
    /// Starts this thread from an empty host.
    pub fn install() -> Self {
        world(|world| *world = World::default());
        Self(())
    }

    /// Gives a setting a value.
    pub fn setting(&self, name: &str, value: &str) {
        world(|world| world.settings.insert(name.to_owned(), value.to_owned()));
    }

    /// Gives a secret a value, which nobody sees: requests that name it are sent, those that name another are refused.
    pub fn secret(&self, name: &str) {
        world(|world| world.secrets.insert(name.to_owned()));
    }

    /// Gives a secret a value that the component may read.
    pub fn reveal(&self, name: &str, value: impl AsRef<[u8]>) {
        world(|world| world.revealed.insert(name.to_owned(), value.as_ref().to_owned()));
    }

    /// Registers an artifact.
    pub fn event(&self, event: Event) {
        world(|world| world.events.push(event));
    }

    /// Puts a file into the artifact that the call is about.
    pub fn file(&self, path: &str, contents: impl AsRef<[u8]>) {
        world(|world| world.files.insert(path.to_owned(), contents.as_ref().to_owned()));
    }

    /// What answers HTTP; without it every request is denied.
    pub fn http(&self, responder: impl Fn(&Request) -> Result<Response> + 'static) {
        world(|world| world.responder = Some(Box::new(responder)));
    }

    /// Sets the clock.
    pub fn now(&self, milliseconds: u64) {
        world(|world| world.now = milliseconds);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        world(|world| world.requests.clone())
    }

    /// Every log line so far.
    pub fn log(&self) -> Vec<(Level, String)> {
        world(|world| world.log.clone())
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &str) -> Response {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Response { status, headers, body: body.as_bytes().to_owned() }
    }
}

/// The imports in the shape that `wit-bindgen` gives them.
pub(crate) mod imports {
    use super::*;

    pub(crate) mod clock {
        pub fn now() -> u64 {
            super::world(|world| world.now)
        }
    }

    pub(crate) mod random {
        /// Not random: a test must be able to say what comes out.
        pub fn bytes(length: u32) -> Vec<u8> {
            (0..length.min(4096)).map(|n| n as u8).collect()
        }
    }

    pub(crate) mod configuration {
        pub fn get(name: &str) -> Option<String> {
            super::world(|world| world.settings.get(name).cloned())
        }
    }

    pub(crate) mod reveal {
        use super::*;

        pub fn secret(name: &str) -> Result<Vec<u8>> {
            world(|world| world.revealed.get(name).cloned())
                .ok_or_else(|| Error::denied("secret-unknown", format!("no test reveals the secret `{name}`")))
        }
    }

    pub(crate) mod artifact_events {
        use super::*;

        pub fn since(after: u64, limit: u32) -> Result<Vec<Event>> {
            let later = |event: &&Event| event.sequence > after;
            Ok(world(|world| world.events.iter().filter(later).take(limit.max(1) as usize).cloned().collect()))
        }
    }

    pub(crate) mod logging {
        use super::Level;

        pub fn log(level: Level, message: &str, _fields: &[(String, String)]) {
            super::world(|world| world.log.push((level, message.to_owned())));
        }
    }

    pub(crate) mod http {
        use super::*;

        pub fn fetch(request: &Request) -> Result<Response> {
            for header in &request.secret_headers {
                if !world(|world| world.secrets.contains(&header.secret)) {
                    return Err(Error::denied("secret-unset", format!("the secret `{}` has no value", header.secret)));
                }
            }
            // Taken out while it answers, so that a responder may itself look at the fake host.
            let responder = world(|world| {
                world.requests.push(request.clone());
                world.responder.take()
            });
            let Some(responder) = responder else {
                return Err(Error::denied("not-granted", format!("no test answers {}", request.url)));
            };
            let answer = responder(request);
            world(|world| {
                world.responder.get_or_insert(responder);
            });
            answer
        }
    }

    pub(crate) mod files {
        use super::*;
        use crate::host::files::Entry;

        pub fn find(glob: &str, after: Option<&str>) -> Result<Vec<Entry>> {
            let entry = |path: &String, bytes: &Vec<u8>| Entry {
                path: path.clone(),
                size_bytes: bytes.len() as u64,
                digest: format!("fake:{}", bytes.len()),
                executable: false,
            };
            let fits = |path: &str| super::super::matches(glob.as_bytes(), path.as_bytes());
            Ok(world(|world| {
                let later = |path: &str| after.is_none_or(|after| path > after);
                world.files.iter().filter(|(p, _)| later(p) && fits(p)).map(|(p, bytes)| entry(p, bytes)).collect()
            }))
        }

        pub fn read(path: &str) -> Result<Vec<u8>> {
            world(|world| world.files.get(path).cloned())
                .ok_or_else(|| Error::not_found("no-such-file", format!("there is no file `{path}`")))
        }
    }

    pub(crate) mod state {
        use super::*;
        use crate::Page;

        pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
            Ok(world(|world| world.state.get(key).cloned()))
        }

        pub fn set(key: &str, value: &[u8]) -> Result<()> {
            world(|world| world.state.insert(key.to_owned(), value.to_owned()));
            Ok(())
        }

        pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool> {
            let same = get(key)?.as_deref() == expected;
            if same {
                set(key, value)?;
            }
            Ok(same)
        }

        pub fn delete(key: &str) -> Result<()> {
            world(|world| world.state.remove(key));
            Ok(())
        }

        pub fn list_keys(prefix: &str, page: &Page) -> Result<(Vec<String>, Option<String>)> {
            let after = page.cursor.as_deref();
            let fits = |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
            let keys: Vec<String> = world(|world| world.state.keys().filter(fits).cloned().collect());
            let limit = page.limit.max(1) as usize;
            let cursor = if keys.len() > limit { keys.get(limit - 1).cloned() } else { None };
            Ok((keys.into_iter().take(limit).collect(), cursor))
        }
    }
}

/// Enough of the host's globs for tests: `**` is anything, `*` and `?` stay inside a folder.
fn matches(glob: &[u8], path: &[u8]) -> bool {
    match (glob, path) {
        ([], []) => true,
        ([b'*', b'*', b'/', rest @ ..], _) if matches(rest, path) => true,
        ([b'*', b'*', rest @ ..], _) => (0..=path.len()).any(|n| path.get(n..).is_some_and(|tail| matches(rest, tail))),
        ([b'*', rest @ ..], _) if matches(rest, path) => true,
        ([b'*', ..], [c, tail @ ..]) => *c != b'/' && matches(glob, tail),
        ([b'?', rest @ ..], [c, tail @ ..]) => *c != b'/' && matches(rest, tail),
        ([g, rest @ ..], [c, tail @ ..]) => g == c && matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{files, state};

    #[test]
    fn globs() {
        for (glob, path, fits) in [
            ("**", "a/b", true),
            ("*", "a/b", false),
            ("*.py", "train.py", true),
            ("src/**", "src/a/b.py", true),
            ("**/*.py", "train.py", true),
            ("MLproject", "sub/MLproject", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), path.as_bytes()), fits, "{glob} {path}");
        }
    }

    #[test]
    fn files_and_state_of_one_thread() {
        let fake = Fake::install();
        fake.file("a.txt", "one");
        assert!(files::exists("a.txt").unwrap());
        assert_eq!(files::read_text_if_there("b.txt").unwrap(), None);
        assert!(state::compare_and_set("k", None, b"1").unwrap());
        assert!(!state::compare_and_set("k", None, b"2").unwrap());
        assert_eq!(std::thread::spawn(|| files::find("**").unwrap().len()).join().unwrap(), 0);
    }
}
