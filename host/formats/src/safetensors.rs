//! Safetensors: names, types and shapes of tensors in a JSON header.

use crate::{ReadAt, Result, malformed};
use fuseml_domain::Attributes;
use safetensors::tensor::Metadata;
use std::collections::BTreeMap;

/// As the format's own library has it.
const MOST_HEADER: u64 = 100_000_000;

pub(crate) fn read(file: &dyn ReadAt) -> Result<Attributes> {
    let size: [u8; 8] = file.read_at(0, 8)?.try_into().map_err(|_| malformed("it has no header"))?;
    let size = u64::from_le_bytes(size);
    if size > MOST_HEADER || size.saturating_add(8) > file.size() {
        return Err(malformed(format!("its header would have {size} bytes of the file's {}", file.size())));
    }
    let header = file.read_at(0, usize::try_from(size + 8).unwrap_or(usize::MAX))?;
    let metadata: Metadata =
        serde_json::from_slice(header.get(8..).unwrap_or_default()).map_err(|error| malformed(error.to_string()))?;
    let tensors = metadata.tensors();
    let end = tensors.values().map(|tensor| tensor.data_offsets.1 as u64).max().unwrap_or(0);
    if size + 8 + end != file.size() {
        return Err(malformed(format!("its tensors end at {}, the file at {}", size + 8 + end, file.size())));
    }
    let mut by_type: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in tensors.values() {
        let count = tensor.shape.iter().fold(1u64, |count, length| count.saturating_mul(*length as u64));
        *by_type.entry(format!("{:?}", tensor.dtype)).or_default() += count;
    }
    let mut found = Attributes::from([
        ("format".to_owned(), "safetensors".to_owned()),
        ("parameters".to_owned(), by_type.values().sum::<u64>().to_string()),
    ]);
    let most = by_type.into_iter().max_by_key(|(_, count)| *count);
    found.extend(most.map(|(name, _)| ("precision".to_owned(), name)));
    let own = metadata.metadata().as_ref().and_then(|own| own.get("format"));
    let framework = own.and_then(|format| match format.as_str() {
        "pt" => Some("pytorch"),
        "tf" => Some("tensorflow"),
        "flax" => Some("flax"),
        "mlx" => Some("mlx"),
        _ => None,
    });
    found.extend(framework.map(|name| ("framework".to_owned(), name.to_owned())));
    Ok(found)
}
