//! The extension's log. Always granted; lines are cleaned and cut, and past a call's share they are dropped
//! with one line that says so.

use crate::{
    call::Call,
    failure::clean,
    instance::{LogLevel, LogLine},
};

const FIELDS: usize = 32;
const FIELD_NAME: usize = 64;

impl Call {
    pub(crate) fn log(&mut self, level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        let limits = self.limits.clone();
        if self.log_lines >= limits.log_lines || self.log_bytes >= limits.log_bytes {
            return;
        }
        let most = limits.log_line_bytes.min(limits.log_bytes - self.log_bytes);
        let message = clean(message, most);
        let mut left = most.saturating_sub(message.len());
        let fields: Vec<_> = fields
            .into_iter()
            .take(FIELDS)
            .map_while(|(name, value)| {
                let field = (clean(&name, FIELD_NAME), clean(&value, left));
                left = left.checked_sub(field.0.len() + field.1.len())?;
                Some(field)
            })
            .collect();
        self.log_lines += 1;
        self.log_bytes += most - left;
        self.instance.log.line(&self.instance, LogLine { level, message, fields });
        if self.log_lines == limits.log_lines || self.log_bytes >= limits.log_bytes {
            self.log_full();
        }
    }

    fn log_full(&mut self) {
        let what = format!("log-limit: {} lines or {} KiB a call", self.limits.log_lines, self.limits.log_bytes >> 10);
        let message = format!("{what}; what this call logs after it is dropped");
        self.instance.log.line(&self.instance, LogLine { level: LogLevel::Warn, message, fields: Vec::new() });
        self.refused(None, what);
    }
}
