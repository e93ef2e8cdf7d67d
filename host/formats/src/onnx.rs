//! ONNX: producer, operator sets, inputs and outputs. The file is protocol buffers with the weights among them, so it
//! is walked field by field and everything large is stepped over; crates that decode it read all of it into memory.

use crate::{ReadAt, Result, malformed};
use fuseml_domain::Attributes;
use serde_json::{Value, json};

/// Fields that are looked at in one file at the most: nodes and weights are one each.
const MOST_FIELDS: usize = 1 << 20;
const LONGEST_TEXT: u64 = 4096;

/// A part of the file that is a message.
#[derive(Clone, Copy)]
struct Message<'f> {
    file: &'f dyn ReadAt,
    offset: u64,
    end: u64,
}

enum Field<'f> {
    Number(u64),
    Bytes(Message<'f>),
    Fixed,
}

impl<'f> Message<'f> {
    /// The next field's number and what it holds.
    fn next(&mut self) -> Result<Option<(u64, Field<'f>)>> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.step(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.step(length)?)
            }
            5 => self.step(4).map(|_| Field::Fixed)?,
            other => return Err(malformed(format!("it holds a field of the wire type {other}"))),
        };
        Ok(Some((key >> 3, field)))
    }

    fn step(&mut self, length: u64) -> Result<Message<'f>> {
        let offset = self.offset;
        let end = offset.checked_add(length).filter(|end| *end <= self.end);
        self.offset = end.ok_or_else(|| malformed("a part of it would end after it"))?;
        Ok(Message { file: self.file, offset, end: self.offset })
    }

    fn varint(&mut self) -> Result<u64> {
        let bytes = self.file.read_at(self.offset, usize::try_from((self.end - self.offset).min(10)).unwrap_or(10))?;
        let mut value = 0u64;
        for (at, byte) in bytes.iter().enumerate() {
            value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32).unwrap_or(0);
            if byte & 0x80 == 0 {
                self.offset += at as u64 + 1;
                return Ok(value);
            }
        }
        Err(malformed("a number in it does not end"))
    }

    fn text(self) -> Result<String> {
        let length = (self.end - self.offset).min(LONGEST_TEXT);
        Ok(String::from_utf8_lossy(&self.file.read_at(self.offset, usize::try_from(length).unwrap_or(0))?).into_owned())
    }
}

pub(crate) fn read(file: &dyn ReadAt) -> Result<Attributes> {
    let mut model = Message { file, offset: 0, end: file.size() };
    let mut found = Attributes::from([("format".to_owned(), "onnx".to_owned())]);
    let mut seen = 0;
    let mut graph = None;
    let mut operators = Vec::new();
    let mut set = |name: &str, value: String| drop(found.insert(name.to_owned(), value));
    while let Some((number, field)) = model.next()? {
        count(&mut seen)?;
        match (number, field) {
            (1, Field::Number(version)) => set("ir-version", version.to_string()),
            (2, Field::Bytes(text)) => set("producer", text.text()?),
            (3, Field::Bytes(text)) => set("producer-version", text.text()?),
            (7, Field::Bytes(message)) => graph = Some(message),
            (8, Field::Bytes(message)) => operators.push(operator_set(message)?),
            _ => {}
        }
    }
    let graph = graph.ok_or_else(|| malformed("it holds no graph"))?;
    set("opset", operators.join(", "));
    set("signature", signature(graph, &mut seen)?.to_string());
    set("framework", "onnx".to_owned());
    Ok(found)
}

fn count(seen: &mut usize) -> Result<()> {
    *seen += 1;
    if *seen > MOST_FIELDS { Err(malformed("it holds more parts than a model has")) } else { Ok(()) }
}

/// `17`, or `ai.onnx.ml 3` for other domains than the usual one.
fn operator_set(mut message: Message<'_>) -> Result<String> {
    let (mut domain, mut version) = (String::new(), 0);
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => domain = text.text()?,
            (2, Field::Number(number)) => version = number,
            _ => {}
        }
    }
    Ok(if domain.is_empty() { version.to_string() } else { format!("{domain} {version}") })
}

fn signature(mut graph: Message<'_>, seen: &mut usize) -> Result<Value> {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    while let Some((number, field)) = graph.next()? {
        count(seen)?;
        match (number, field) {
            (11, Field::Bytes(message)) => inputs.push(value_info(message)?),
            (12, Field::Bytes(message)) => outputs.push(value_info(message)?),
            _ => {}
        }
    }
    Ok(json!({"inputs": inputs, "outputs": outputs}))
}

/// A name, a type and a shape; dimensions are numbers, names, or not known.
fn value_info(mut message: Message<'_>) -> Result<Value> {
    let mut info = json!({});
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => info["name"] = text.text()?.into(),
            (2, Field::Bytes(mut kind)) => {
                while let Some((number, field)) = kind.next()? {
                    if let (1, Field::Bytes(mut tensor)) = (number, field) {
                        while let Some((number, field)) = tensor.next()? {
                            match (number, field) {
                                (1, Field::Number(element)) => info["type"] = element_type(element).into(),
                                (2, Field::Bytes(shape)) => info["shape"] = dimensions(shape)?,
                                _ => {}
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(info)
}

fn dimensions(mut shape: Message<'_>) -> Result<Value> {
    let mut all = Vec::new();
    while let Some((number, field)) = shape.next()? {
        if let (1, Field::Bytes(mut dimension)) = (number, field) {
            let mut length = Value::Null;
            while let Some((number, field)) = dimension.next()? {
                match (number, field) {
                    (1, Field::Number(number)) => length = number.into(),
                    (2, Field::Bytes(text)) => length = text.text()?.into(),
                    _ => {}
                }
            }
            all.push(length);
        }
    }
    Ok(all.into())
}

/// As `TensorProto.DataType` numbers them.
fn element_type(number: u64) -> &'static str {
    const NAMES: [&str; 17] = [
        "undefined",
        "float32",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "float64",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    usize::try_from(number).ok().and_then(|number| NAMES.get(number).copied()).unwrap_or("other")
}
