//! What a person types and reads.

use crate::World;

/// Every line that a person typed and what was answered.
pub struct Terminal<'a> {
    pub world: &'a World,
    pub said: String,
}

impl Terminal<'_> {
    pub fn types(&mut self, code: i32, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        self.says(code, &words);
    }

    /// The same with words that hold spaces.
    pub fn says(&mut self, code: i32, words: &[&str]) {
        let line = words.join(" ");
        let answer = match code {
            0 => self.world.fuseml(words).good(),
            code => self.world.fuseml(words).bad(code),
        };
        self.said.push_str(&format!("$ fuseml {line}\n{}{}\n", answer.stdout(), answer.stderr()));
    }

    pub fn steady(&self) -> String {
        self.world.steady(&self.said)
    }
}
