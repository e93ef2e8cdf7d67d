//! A real S3 server for tests.

use hyper_util::rt::{TokioExecutor, TokioIo};
use std::path::Path;

/// One bucket, `bkt`. Its file names hold a whole key, so that bucket and prefix are short.
pub struct S3 {
    pub endpoint: String,
}

impl S3 {
    /// Over a folder; answers for as long as the runtime lives.
    ///
    /// # Panics
    /// When the machine cannot have one.
    pub async fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("bkt")).expect("bucket");
        let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).expect("S3"));
        builder.set_auth(s3s::auth::SimpleAuth::from_single("somebody", "something"));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    server.serve_connection(TokioIo::new(socket), service).await
                });
            }
        });
        Self { endpoint }
    }

    /// The same beside programs that are no async ones; answers until the test's process ends.
    ///
    /// # Panics
    /// When the machine cannot have one.
    pub fn beside(folder: &Path) -> Self {
        let (send, receive) = std::sync::mpsc::channel();
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("runtime");
            runtime.block_on(async {
                send.send(Self::start(&folder).await).expect("somebody waits");
                std::future::pending::<()>().await;
            });
        });
        receive.recv().expect("S3")
    }

    /// Where it is and how to log in, as the environment says it.
    pub fn variables(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", "somebody"),
            ("AWS_SECRET_ACCESS_KEY", "something"),
            ("AWS_REGION", "here"),
            ("AWS_ALLOW_HTTP", "true"),
        ]
    }

    /// The same, as a store's options.
    pub fn options(&self) -> Vec<(String, String)> {
        self.variables().map(|(name, value)| (name.to_lowercase(), value.to_owned())).into()
    }
}
