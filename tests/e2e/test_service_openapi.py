"""Schemathesis asks everything that the OpenAPI document allows, and much that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.served import Service

pytestmark = pytest.mark.e2e
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_schema_conformance", "unsupported_method")  # fmt: skip
SECONDS = 1_800  # 400 examples take five minutes of processor time


@pytest.mark.parametrize(
    "examples", [pytest.param(15, id="some"), pytest.param(400, id="many", marks=pytest.mark.slow)]
)
def test_nothing_that_is_sent_breaks_the_service(serving: Path, examples: int) -> None:
    with Service(serving) as service:
        words = [
            "run", f"http://127.0.0.1:{service.port}/openapi.json", "--checks", ",".join(CHECKS),
            "--max-examples", str(examples), "--seed", "5", "--no-color",
            "--phases", "examples,coverage,fuzzing",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", "from schemathesis.cli import schemathesis as s; s()", *words],
            cwd=serving, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert " passed" in done.stdout, done.stdout
        assert service.ask().status_code == 200
        assert service.metric("mofang_requests_total") > examples
    assert "Traceback" not in service.log
