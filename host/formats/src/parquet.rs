//! Parquet: the schema and the number of rows, from the file's end.

use crate::{FormatError, ReadAt, Result, Table, malformed};
use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::{
        metadata::ParquetMetaDataReader,
        reader::{ChunkReader, Length},
    },
};
use std::io::Cursor;

/// A footer's length at the most, in bytes.
const MOST_FOOTER: u64 = 64 << 20;

struct Reader<'f>(&'f dyn ReadAt);

impl Length for Reader<'_> {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for Reader<'_> {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let left = self.0.size().saturating_sub(start);
        Ok(Cursor::new(self.get_bytes(start, usize::try_from(left).unwrap_or(usize::MAX))?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if length as u64 > MOST_FOOTER.min(self.0.size()) {
            return Err(ParquetError::General(format!("its footer would have {length} bytes")));
        }
        let bytes = self.0.read_at(start, length).map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(bytes.into())
    }
}

pub(crate) fn read(file: &dyn ReadAt) -> Result<Table> {
    // The library's own checks end in a panic for some broken footers.
    let read = std::panic::AssertUnwindSafe(|| ParquetMetaDataReader::new().parse_and_finish(&Reader(file)));
    let metadata = std::panic::catch_unwind(read).map_err(|_| malformed("its footer is damaged"))?;
    let metadata = metadata.map_err(|error: ParquetError| FormatError::Malformed(error.to_string()))?;
    let schema = metadata.file_metadata().schema_descr();
    let columns = schema.columns().iter().map(|column| {
        let kind = match column.logical_type_ref() {
            Some(parquet::basic::LogicalType::String) => "text".to_owned(),
            Some(parquet::basic::LogicalType::Date) => "date".to_owned(),
            Some(parquet::basic::LogicalType::Timestamp { .. }) => "timestamp".to_owned(),
            Some(parquet::basic::LogicalType::Decimal { .. }) => "decimal".to_owned(),
            _ => match column.physical_type() {
                parquet::basic::Type::BYTE_ARRAY | parquet::basic::Type::FIXED_LEN_BYTE_ARRAY => "bytes".to_owned(),
                other => other.to_string().to_lowercase(),
            },
        };
        (column.path().string(), kind)
    });
    let rows = u64::try_from(metadata.file_metadata().num_rows()).ok();
    Ok(Table { columns: columns.collect(), rows })
}
