import json
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from service.offline.exports.triton import write_repository
from tests.kit.fakes import RAW_BANDS, make_bundle, make_raw_bundle
from tests.kit.triton import PYTHON, places

# Triton's own description of a configuration, which refuses a word that it does not know.
PARSE = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
config = text_format.Parse(sys.stdin.read(), ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""


def parsed(file: Path) -> Any:  # noqa: ANN401
    places()
    text = file.read_text()
    done = subprocess.run([PYTHON, "-c", PARSE], input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("device", "kind"), [("cpu", "KIND_CPU"), ("cuda", "KIND_GPU")])
def test_triton_reads_what_is_told_of_a_member(
    tmp_path: Path, device: Literal["cpu", "cuda"], kind: str
) -> None:
    bundle = make_raw_bundle(tmp_path / "bundle")
    write_repository(bundle, tmp_path / "repository", device=device, max_batch=16)
    config = parsed(tmp_path / "repository/chipvote_member_1/config.pbtxt")
    assert config["platform"] == "onnxruntime_onnx"
    assert config["max_batch_size"] == 16
    assert config["input"] == [
        {"name": "chips", "data_type": "TYPE_UINT16", "dims": ["64", "64", str(len(RAW_BANDS))]}
    ]
    assert config["output"] == [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": ["4"]}]
    assert config["instance_group"] == [{"kind": kind, "count": 1}]
    assert config["dynamic_batching"] == {}
    assert config["parameters"]["member"] == {"string_value": "member1"}
    assert ("cudnn_conv_algo_search" in config["parameters"]) == (device == "cuda")


def test_triton_reads_the_way_of_a_chip_and_odd_words(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", version='1 "of" \\2\n𝟛 Größe')
    write_repository(bundle, tmp_path / "repository", name="colours")
    config = parsed(tmp_path / "repository/colours/config.pbtxt")
    assert config["parameters"]["version"] == {"string_value": bundle.manifest.version}
    *members, vote = config["ensemble_scheduling"]["step"]
    assert [step["model_name"] for step in members] == [f"colours_member_{index}" for index in range(3)]
    inner = [step["output_map"]["probabilities"] for step in members]
    assert vote["model_name"] == "colours_vote"
    assert vote["input_map"] == dict(zip(inner, inner, strict=True))
    assert set(vote["output_map"]) == {"labels", "votes", "probabilities"}
