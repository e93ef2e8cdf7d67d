//! GGUF headers: facts by name, and the tensors' shapes. Read here by hand: the crates there are read whole files or
//! come with an inference engine.

use crate::{ReadAt, Result, malformed};
use fuseml_domain::Attributes;

/// Facts and tensors of one file at the most.
const MOST: u64 = 1 << 20;
/// A header's length at the most, in bytes; vocabularies are part of it.
const MOST_HEADER: u64 = 256 << 20;
const LONGEST_KEPT: u64 = 4096;
const PORTION: u64 = 1 << 20;

/// Reads one value after another.
struct Cursor<'f> {
    file: &'f dyn ReadAt,
    /// Of the next byte.
    offset: u64,
    portion: Vec<u8>,
    begins: u64,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let begin = self.offset.saturating_sub(self.begins) as usize;
        if self.portion.get(begin..begin + N).is_none() {
            let left = self.file.size().saturating_sub(self.offset).min(PORTION);
            self.portion = self.file.read_at(self.offset, usize::try_from(left).unwrap_or(0))?;
            self.begins = self.offset;
        }
        let begin = (self.offset - self.begins) as usize;
        let bytes = self.portion.get(begin..begin + N).and_then(|bytes| bytes.try_into().ok());
        self.skip(N as u64)?;
        bytes.ok_or_else(|| malformed("it ends within its header"))
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        self.offset = self.offset.saturating_add(bytes);
        match self.offset <= self.file.size().min(MOST_HEADER) {
            true => Ok(()),
            false => Err(malformed("it ends within its header")),
        }
    }

    fn number(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn small(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    /// The text, or nothing for one that is too long to be of use.
    fn text(&mut self) -> Result<Option<String>> {
        let length = self.number()?;
        let begin = self.offset;
        self.skip(length)?;
        if length > LONGEST_KEPT {
            return Ok(None);
        }
        let bytes = self.file.read_at(begin, usize::try_from(length).unwrap_or(0))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A value as text, where it is one that a person would read.
    fn value(&mut self, kind: u32, depth: u32) -> Result<Option<String>> {
        Ok(match kind {
            0 => Some(u8::from_le_bytes(self.take()?).to_string()),
            1 => Some(i8::from_le_bytes(self.take()?).to_string()),
            2 => Some(u16::from_le_bytes(self.take()?).to_string()),
            3 => Some(i16::from_le_bytes(self.take()?).to_string()),
            4 => Some(self.small()?.to_string()),
            5 => Some(i32::from_le_bytes(self.take()?).to_string()),
            6 => Some(f32::from_le_bytes(self.take()?).to_string()),
            7 => Some((self.take::<1>()?[0] != 0).to_string()),
            8 => self.text()?,
            9 => {
                let (inner, count) = (self.small()?, self.number()?);
                if depth > 4 {
                    return Err(malformed("its lists lie too deep in each other"));
                }
                match size_of_kind(inner) {
                    Some(size) => self.skip(size.saturating_mul(count))?,
                    // Each element takes some bytes, so the header's length bounds them.
                    None => (0..count).try_for_each(|_| self.value(inner, depth + 1).map(drop))?,
                }
                None
            }
            10 => Some(self.number()?.to_string()),
            11 => Some(i64::from_le_bytes(self.take()?).to_string()),
            12 => Some(f64::from_le_bytes(self.take()?).to_string()),
            other => return Err(malformed(format!("it holds a value of the unknown type {other}"))),
        })
    }
}

fn size_of_kind(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

pub(crate) fn read(file: &dyn ReadAt) -> Result<Attributes> {
    let mut cursor = Cursor { file, offset: 0, portion: Vec::new(), begins: 0 };
    if &cursor.take::<4>()? != b"GGUF" {
        return Err(malformed("it does not begin as GGUF"));
    }
    let version = cursor.small()?;
    if !matches!(version, 2 | 3) {
        return Err(malformed(format!("its version {version} is not read")));
    }
    let (tensors, facts) = (cursor.number()?, cursor.number()?);
    if tensors > MOST || facts > MOST {
        return Err(malformed(format!("it would hold {tensors} tensors and {facts} facts")));
    }
    let mut found = Attributes::from([("format".to_owned(), "gguf".to_owned())]);
    for _ in 0..facts {
        let name = cursor.text()?.unwrap_or_default();
        let kind = cursor.small()?;
        let value = cursor.value(kind, 0)?;
        let attribute = match name.as_str() {
            "general.architecture" => "architecture",
            "general.name" => "model-name",
            "general.file_type" => "precision",
            "general.license" => "license",
            name if name.ends_with(".context_length") => "context-length",
            _ => continue,
        };
        let value = value.map(|value| if attribute == "precision" { precision(&value) } else { value });
        found.extend(value.map(|value| (attribute.to_owned(), value)));
    }
    let mut parameters = 0u64;
    for _ in 0..tensors {
        cursor.text()?;
        let dimensions = cursor.small()?;
        if dimensions > 16 {
            return Err(malformed(format!("a tensor would have {dimensions} dimensions")));
        }
        let mut count = 1u64;
        for _ in 0..dimensions {
            count = count.saturating_mul(cursor.number()?);
        }
        parameters = parameters.saturating_add(count);
        cursor.skip(4 + 8)?;
    }
    found.insert("parameters".to_owned(), parameters.to_string());
    Ok(found)
}

/// How llama.cpp numbers what most of the weights are.
fn precision(number: &str) -> String {
    let name = match number {
        "0" => "F32",
        "1" => "F16",
        "2" => "Q4_0",
        "3" => "Q4_1",
        "7" => "Q8_0",
        "8" => "Q5_0",
        "9" => "Q5_1",
        "10" => "Q2_K",
        "11" => "Q3_K_S",
        "12" => "Q3_K_M",
        "13" => "Q3_K_L",
        "14" => "Q4_K_S",
        "15" => "Q4_K_M",
        "16" => "Q5_K_S",
        "17" => "Q5_K_M",
        "18" => "Q6_K",
        "32" => "BF16",
        other => return format!("file type {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_promise_too_much_are_refused() {
        let header = |tensors: u64, facts: u64, rest: &[u8]| {
            let mut bytes = b"GGUF\x03\0\0\0".to_vec();
            bytes.extend(tensors.to_le_bytes());
            bytes.extend(facts.to_le_bytes());
            bytes.extend(rest);
            bytes
        };
        // A text of 2^63 bytes; a list of 2^63 texts; more facts than bytes.
        let text = [&[1, 0, 0, 0, 0, 0, 0, 0, b'a', 8, 0, 0, 0][..], &(1u64 << 63).to_le_bytes()].concat();
        let list = [&[1, 0, 0, 0, 0, 0, 0, 0, b'a', 9, 0, 0, 0, 8, 0, 0, 0][..], &(1u64 << 63).to_le_bytes()].concat();
        for bytes in [header(u64::MAX, 0, b""), header(0, 9, b""), header(0, 1, &text), header(0, 1, &list)] {
            assert!(read(&bytes).is_err());
        }
        assert_eq!(read(&header(0, 0, b"")).expect("empty")["parameters"], "0");
    }
}
