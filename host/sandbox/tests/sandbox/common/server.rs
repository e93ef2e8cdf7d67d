//! A small real HTTP server: what it is asked decides what it answers, and it remembers what it was sent.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Clone)]
pub struct Server {
    pub port: u16,
    /// Heads of requests as they came.
    pub heads: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            port: listener.local_addr().expect("address").port(),
            heads: Arc::default(),
            connections: Arc::default(),
        };
        tokio::spawn({
            let server = server.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    *server.connections.lock().expect("lock") += 1;
                    tokio::spawn(server.clone().serve(stream));
                }
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut received = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => received.extend_from_slice(&buffer[..read]),
                }
            };
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            received.drain(..end);
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            self.heads.lock().expect("lock").push(head);
            if answer(&mut stream, &path).await.is_err() {
                return;
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    match path {
        "/redirect" => {
            stream
                .write_all(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 5\r\n\r\nmoved")
                .await
        }
        "/large" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n").await,
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        "/slow" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                stream.write_all(b"x").await?;
            }
        }
        "/silent" => std::future::pending().await,
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await,
    }
}
