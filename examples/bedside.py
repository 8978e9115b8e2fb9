"""One ECG from the bedside: asks the gateway and waits for the answer.

python examples/bedside.py one.dcm
CARDEX_GATEWAY_TARGET=ecg.hospital.example:50051 CARDEX_API_KEY=cdx_... python examples/bedside.py
one.dcm
"""

import os
import sys

from cardex.api.client import Client
from cardex.domain.errors import CardexError
from cardex.domain.jobs import Question


def main(path: str) -> None:
    """Print the nearest reports for the ECG at `path`."""
    target = os.environ.get("CARDEX_GATEWAY_TARGET", "127.0.0.1:50051")
    with Client(target, api_key=os.environ.get("CARDEX_API_KEY", "")) as client:
        try:
            answer = client.retrieve(path, Question(top_k=3), timeout_s=10.0).answer
        except CardexError as error:
            sys.exit(f"{error.reason}: {error.message}")
    print(answer.disclaimer)
    for hit in answer.hits:
        print(f"{hit.score:.3f}  {hit.report.text}")
    for prediction in answer.predictions:
        print(f"{prediction.probability:4.0%}  {prediction.description}")
    for warning in answer.warnings:
        print(f"{warning.code}  {warning.message} {' '.join(warning.leads)}")


if __name__ == "__main__":
    main(sys.argv[1])
