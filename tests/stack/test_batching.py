import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from cardex.api.pb.v1 import ecg_retrieval_pb2 as pb
from tests.helpers.stack import variant


def _counts(url: str) -> tuple[float, float]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    pattern = r'^{}{{model="ecg_image_encoder_stat",version="1"}} (\S+)$'
    names = ("nv_inference_count", "nv_inference_exec_count")
    images, runs = (re.findall(pattern.format(name), text, re.MULTILINE) for name in names)
    return float(images[0]), float(runs[0])


def test_concurrent_single_submissions_are_encoded_together(ecgs, stack):
    requests = [pb.RetrieveRequest(ecg=variant(1000 + number)) for number in range(256)]
    ecgs.Retrieve(
        pb.RetrieveRequest(ecg=variant(999)), timeout=60
    )  # the worker probes the model once
    before = _counts(stack.endpoints.triton_metrics)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda request: ecgs.Retrieve(request, timeout=60), requests))
    after = _counts(stack.endpoints.triton_metrics)
    assert all(answer.answer.hits for answer in answers)
    images, runs = after[0] - before[0], after[1] - before[1]
    assert images == 256
    assert images / runs > 4
