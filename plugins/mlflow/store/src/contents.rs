//! Locate: every file of a model and the URL that the server's artifact proxy serves it at.

use crate::api::Server;
use crate::id::Id;
use fuseml_extension::store::{Contents, File};
use fuseml_extension::{Credential, Error, Location, Result};

const MOST_FILES: usize = 10_000;
const MOST_FOLDERS: usize = 1_000;

pub(crate) fn locate(server: &Server, id: &Id) -> Result<Contents> {
    let uri = server.download_uri(id)?;
    let Some(root) = proxied(&uri) else {
        let message = format!(
            "`{id}` lies at `{uri}`, which this server does not serve itself; start the MLflow server with \
             `--artifacts-destination` so that it does"
        );
        return Err(Error::unsupported("artifacts-not-proxied", message));
    };
    let files = files(server, root)?;
    if files.is_empty() {
        return Err(Error::not_found("contents-missing", format!("`{id}` has no files at `{uri}` any more")));
    }
    let url = server.artifact_url(root);
    let scheme = if url.starts_with("https:") { "https" } else { "http" };
    Ok(Contents {
        root: Location {
            scheme: scheme.to_owned(),
            uri: url,
            credential: Credential { kind: "none".to_owned(), secret: None, parameters: Vec::new() },
            digest: None,
            size_bytes: Some(files.iter().map(|file| file.size_bytes).sum()),
            expires: None,
        },
        files,
    })
}

/// The path below the artifact proxy; `mlflow-artifacts://other-host/…` is another server's.
fn proxied(uri: &str) -> Option<&str> {
    let path = uri.strip_prefix("mlflow-artifacts:/")?;
    if path.starts_with('/') { None } else { Some(path.trim_end_matches('/')) }
}

fn files(server: &Server, root: &str) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    let mut listed = 0;
    while let Some(folder) = folders.pop() {
        listed += 1;
        if listed > MOST_FOLDERS || files.len() > MOST_FILES {
            let message = format!("`{root}` has more than {MOST_FILES} files or {MOST_FOLDERS} folders");
            return Err(Error::unsupported("too-many-files", message));
        }
        for info in server.list_artifacts(join(root, &folder).trim_end_matches('/'))? {
            // The server answers names; anything else would leave the folder that was asked for.
            if info.path.is_empty() || info.path.contains('/') || [".", ".."].contains(&info.path.as_str()) {
                let message = format!("the server lists `{}` in `{root}`, which is no file name", info.path);
                return Err(Error::internal("mlflow-answer", message));
            }
            let path = join(&folder, &info.path);
            if info.is_dir {
                folders.push(path);
            } else {
                let uri = server.artifact_url(&join(root, &path));
                files.push(File { path, size_bytes: info.file_size, digest: None, uri });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
