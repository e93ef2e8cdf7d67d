//! Asks a starting service whether it answers, without ever keeping its supervisor from its other duties.
//!
//! One `GET` over a plain socket to this machine and the first line of the answer: an HTTP client would be
//! larger than the rest of the supervisor and bring threads or a runtime, of which a process that forks has none.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

/// An answer that takes longer is asked for anew.
const ANSWER_TIME: Duration = Duration::from_secs(10);
const CONNECT_TIME: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Probe {
    port: u16,
    /// Without one a service is ready when it accepts connections.
    path: Option<String>,
    question: Option<Question>,
    next: Instant,
    pause: Duration,
}

struct Question {
    stream: TcpStream,
    answer: Vec<u8>,
    until: Instant,
}

impl Probe {
    pub(crate) fn new(port: u16, path: Option<String>) -> Self {
        Self { port, path, question: None, next: Instant::now(), pause: FIRST_PAUSE }
    }

    /// When to call [`Probe::advance`] at the latest.
    pub(crate) fn next(&self) -> Instant {
        self.question.as_ref().map_or(self.next, |question| question.until)
    }

    /// Readable when there is reason to call it earlier.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.question.as_ref().map(|question| question.stream.as_fd())
    }

    /// True once the service has answered 200.
    pub(crate) fn advance(&mut self) -> bool {
        let now = Instant::now();
        if let Some(question) = &mut self.question {
            match question.read() {
                Ok(None) if now < question.until => return false,
                Ok(Some(true)) => return true,
                _ => self.question = None,
            }
        } else if now >= self.next {
            match self.ask() {
                Ok(None) => return true,
                Ok(question) => {
                    self.question = question;
                    return false;
                }
                Err(_) => {}
            }
        } else {
            return false;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        false
    }

    /// `None` when being accepted is all that is asked.
    fn ask(&self) -> io::Result<Option<Question>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME)?;
        // A port that nobody listens on may be given to this very socket, which then talks to itself.
        if stream.local_addr()? == address {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let Some(path) = &self.path else { return Ok(None) };
        stream.set_nonblocking(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        // Small enough for the buffer of any new connection.
        stream.write_all(request.as_bytes())?;
        Ok(Some(Question { stream, answer: Vec::new(), until: Instant::now() + ANSWER_TIME }))
    }
}

impl Question {
    /// Whether the answer is 200, once its first line is there.
    fn read(&mut self) -> io::Result<Option<bool>> {
        let mut buffer = [0; 256];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            // `HTTP/1.1 200`
            if let Some(start) = self.answer.get(..12) {
                return Ok(Some(start.starts_with(b"HTTP/1.") && start.ends_with(b" 200")));
            }
        }
    }
}
