//! A website that answers with TLS, at this machine's own address.

use crate::{Group, free_port, tool, until};
use std::{fs, path::Path, process::Command};

/// Serves a folder's `site`.
pub struct Website {
    pub url: String,
    /// What its certificate is signed with, as `SSL_CERT_FILE` names it.
    pub authority: String,
    _group: Group,
}

const SERVE: &str = "
import http.server, ssl, sys
port, folder, certificate, key = sys.argv[1:]
handler = lambda *a, **k: http.server.SimpleHTTPRequestHandler(*a, directory=folder, **k)
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(port)), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

impl Website {
    pub fn start(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        fs::create_dir_all(folder.join("site")).expect("folder");
        let openssl = |arguments: &[&str]| {
            let output = Command::new(tool("FUSEML_TEST_OPENSSL")).args(arguments).output().expect("openssl");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let new = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let authority = ["-subj", "/CN=Tests", "-keyout", &at("ca.key"), "-out", &at("ca.pem")];
        openssl(&[&["req"], &new[..], &authority].concat());
        let signed = ["-CA", &at("ca.pem"), "-CAkey", &at("ca.key"), "-addext", "basicConstraints=critical,CA:FALSE"];
        let named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
        let own = ["-keyout", &at("site.key"), "-out", &at("site.pem")];
        openssl(&[&["req"], &new[..], &signed, &named, &own].concat());
        let port = free_port();
        let mut python = Command::new("python3");
        python.args(["-c", SERVE, &port.to_string(), &at("site"), &at("site.pem"), &at("site.key")]);
        let group = Group::start(&mut python, &folder.join("website.log"));
        until("the website answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { url: format!("https://localhost:{port}"), authority: at("ca.pem"), _group: group }
    }
}
