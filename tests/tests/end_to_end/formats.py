"""Writes a model or dataset in each format, with the format's own library."""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper
from safetensors.numpy import save_file

root = Path(sys.argv[1])


def folder(name: str) -> Path:
    made = root / name
    made.mkdir()
    return made


bert = folder("bert")
for part in (1, 2):
    weights = {f"layer.{part}.weight": np.ones((4, 8), np.float16), f"layer.{part}.bias": np.ones(8, np.float32)}
    save_file(weights, bert / f"model-{part}.safetensors", metadata={"format": "pt"})
config = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "transformers_version": "4.50.0"}
(bert / "config.json").write_text(json.dumps(config))

llama = folder("llama")
writer = gguf.GGUFWriter(llama / "model.gguf", "llama")
writer.add_name("Tiny")
writer.add_context_length(2048)
writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
writer.add_token_list([f"token {number}" for number in range(3000)])
writer.add_tensor("token_embd.weight", np.ones((16, 32), np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

net = folder("net")
weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], np.ones((3, 2), np.float32).tobytes(), raw=True)
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "net",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    [weights],
)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
onnx.save(helper.make_model(graph, producer_name="fuseml-tests", opset_imports=opsets, ir_version=8), net / "model.onnx")

liar = folder("liar")
whole = (bert / "model-1.safetensors").read_bytes()
(liar / "short.safetensors").write_bytes(whole[:-10])

wine = folder("wine")
table = pa.table({"name": ["a", "b"], "price": [1.5, None], "year": pa.array([2001, 2002], pa.int32())})
pq.write_table(table, wine / "train.parquet")
pq.write_table(table, wine / "test.parquet", compression="zstd")
(wine / "README.md").write_text("# Wine")

lines = folder("lines")
(lines / "a.jsonl").write_text('{"text": "hello", "label": 1}\n{"text": "bye", "label": null}\n')
