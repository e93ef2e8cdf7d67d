"""Makes a Parquet file of each table. Types are what the values of the first megabyte are; others end it with an error."""

from pathlib import Path

from pyarrow import csv, parquet

target = Path("parquet")
target.mkdir()
tables = sorted(Path("data").glob("*.csv"))
if not tables:
    raise SystemExit("there is no .csv file")
for table in tables:
    # A portion at a time, so that a table may be larger than memory.
    with csv.open_csv(table) as reader:
        path = target / f"{table.stem}.parquet"
        with parquet.ParquetWriter(path, reader.schema, compression="zstd") as writer:
            rows = 0
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
    print(f"{path}: {rows} rows")
