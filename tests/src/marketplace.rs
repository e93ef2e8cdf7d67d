//! A real marketplace with its own folder.

use crate::{Group, World, free_port, until};

const SERVE: [&str; 2] = ["marketplace", "serve"];

pub struct Marketplace {
    pub url: String,
    folder: String,
    /// The address of its PostgreSQL database, if it has one.
    pub database: Option<String>,
    _group: Group,
}

impl Marketplace {
    /// `name` is its folder in the world's.
    pub fn start(world: &World, name: &str) -> Self {
        Self::run(world, name, free_port(), None, &[], &SERVE)
    }

    /// With more words on its command line, and variables.
    pub fn start_with(world: &World, name: &str, variables: &[(&str, &str)], words: &[&str]) -> Self {
        Self::run(world, name, free_port(), None, variables, &[&SERVE, words].concat())
    }

    /// With a PostgreSQL database.
    pub fn start_on(world: &World, name: &str, database: &str) -> Self {
        Self::run(world, name, free_port(), Some(database), &[], &SERVE)
    }

    /// Another folder at the address of one that is gone, with the same database if that was no file.
    pub fn start_instead(world: &World, name: &str, gone: Self) -> Self {
        let (port, database) = (gone.port(), gone.database.clone());
        drop(gone);
        Self::run(world, name, port, database.as_deref(), &[], &SERVE)
    }

    /// With another PostgreSQL database, at an address that was used before.
    pub fn start_at(world: &World, name: &str, port: u16, database: &str) -> Self {
        Self::run(world, name, port, Some(database), &[], &SERVE)
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("port")
    }

    /// A mirror of this marketplace.
    pub fn mirror(&self, world: &World, name: &str) -> Self {
        Self::run(world, name, free_port(), None, &[], &["marketplace", "mirror", &self.url])
    }

    fn run(
        world: &World,
        name: &str,
        port: u16,
        database: Option<&str>,
        variables: &[(&str, &str)],
        command: &[&str],
    ) -> Self {
        let folder = world.folder.path().join(name).display().to_string();
        let (listen, log) = (format!("127.0.0.1:{port}"), world.folder.path().join(format!("{name}.log")));
        let database_words = database.map(|url| vec!["--database", url]).unwrap_or_default();
        let words = [command, &["--folder", &folder, "--listen", &listen], &database_words].concat();
        let group = world.spawn_with(variables, &words, &log);
        let url = format!("http://{listen}");
        let answers = || reqwest::blocking::get(format!("{url}/healthz")).is_ok_and(|it| it.status().is_success());
        until("the marketplace answers", answers);
        Self { url, folder, database: database.map(ToOwned::to_owned), _group: group }
    }

    /// The id of the key that stands for it, as its operator publishes it.
    pub fn root_key(&self) -> String {
        let (_, root) = self.http(reqwest::Method::GET, "/metadata/root.json", None, None);
        let root: serde_json::Value = serde_json::from_str(&root).expect("JSON");
        root["signed"]["roles"]["root"]["keyids"][0].as_str().expect("key").to_owned()
    }

    /// Makes an account and answers its token.
    pub fn account(&self, world: &World, name: &str, operator: bool) -> String {
        let mut words = vec!["marketplace", "account", "add", name, "--folder", &self.folder];
        words.extend(operator.then_some("--operator"));
        words.extend(self.database.iter().flat_map(|url| ["--database", url]));
        world.json(&words)["token"].as_str().expect("token").to_owned()
    }

    /// From here on the person at the keyboard is this one.
    pub fn login(&self, world: &World, token: &str) {
        world.fuseml_reading(&["marketplace", "login", &self.url, "--token-stdin"], token).good();
    }

    /// An account that owns a namespace with a key, logged in.
    pub fn publisher(&self, world: &World, account: &str, namespace: &str) -> String {
        let token = self.account(world, account, false);
        self.login(world, &token);
        world.fuseml(&["marketplace", "namespace", "add", namespace]).good();
        world.fuseml(&["marketplace", "key", "add", namespace]).good();
        token
    }

    /// The answer to a request, with a token when there is one.
    pub fn http(
        &self,
        method: reqwest::Method,
        path: &str,
        token: Option<&str>,
        body: Option<serde_json::Value>,
    ) -> (u16, String) {
        let mut request = reqwest::blocking::Client::new().request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().expect("answer");
        (answer.status().as_u16(), answer.text().expect("text"))
    }
}
