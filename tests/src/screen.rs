//! What a person sees of a command that runs in a terminal.

use nix::pty::{Winsize, openpty};
use std::{
    fs::File,
    io::Read as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

const LINES: u16 = 30;
const COLUMNS: u16 = 120;

/// A command that writes to a terminal, and the terminal's screen.
pub struct Screen {
    child: Child,
    shown: Arc<Mutex<vt100::Parser>>,
    reading: Option<JoinHandle<()>>,
}

impl Screen {
    pub(crate) fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: LINES, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).expect("a terminal");
        let error = terminal.slave.try_clone().expect("terminal");
        command.env("TERM", "xterm-256color").stdin(Stdio::null()).stdout(terminal.slave).stderr(error);
        let child = command.spawn().expect("spawn");
        // What it holds of the terminal would keep the reader waiting.
        drop(command);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(LINES, COLUMNS, 0)));
        let (screen, mut master) = (shown.clone(), File::from(terminal.master));
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is how a terminal says that nobody writes to it any more.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                screen.lock().expect("screen").process(&bytes[..count]);
            }
        });
        Self { child, shown, reading: Some(reading) }
    }

    pub fn shows(&self) -> String {
        self.shown.lock().expect("screen").screen().contents()
    }

    /// What it shows when the command has ended, and how that ended.
    pub fn ended(mut self) -> (String, Option<i32>) {
        let status = self.child.wait().expect("status");
        self.reading.take().expect("reader").join().expect("reader");
        (self.shows(), status.code())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
