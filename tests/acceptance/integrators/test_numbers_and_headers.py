"""What the page's verifiers are given differs by language: numbers that are none, kinds of headers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.integrators.answers import MISSING, NO_FIT, TOO_FAR
from tests.acceptance.integrators.languages import LANGUAGES, Program
from tests.acceptance.integrators.page import PAGE, vectors

PYTHON, JAVASCRIPT = (
    next(each for each in LANGUAGES if each.tag == tag) for tag in ("python", "js")
)
VECTOR = vectors()[0]
BODY = VECTOR.body.encode()
NOW = int(VECTOR.timestamp)


@pytest.mark.parametrize("verify", [PYTHON, JAVASCRIPT], indirect=True, ids=["python", "js"])
def test_a_clock_that_gives_no_number_lets_nothing_pass(verify: Program) -> None:
    """Comparisons with NaN are false; in the other languages the time is no floating point number."""
    assert verify(VECTOR.key, VECTOR.headers, BODY, now=NOW) == "verified"
    assert verify(VECTOR.key, VECTOR.headers, BODY, now=float("nan")) == TOO_FAR


@pytest.mark.parametrize("verify", [JAVASCRIPT], indirect=True, ids=["js"])
def test_a_headers_object_of_fetch_is_taken(
    verify: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Route handlers of Next.js have one."""
    monkeypatch.setenv("HEADERS", "fetch")
    assert verify(VECTOR.key, VECTOR.headers, BODY, now=NOW) == "verified"
    assert verify(VECTOR.key, VECTOR.headers, BODY + b" ", now=NOW) == NO_FIT
    for name in VECTOR.headers:
        others = {key: value for key, value in VECTOR.headers.items() if key != name}
        assert verify(VECTOR.key, others, BODY, now=NOW) == MISSING


@pytest.mark.parametrize("verify", [JAVASCRIPT], indirect=True, ids=["js"])
def test_as_an_es_module_it_imports_as_the_page_says(verify: Program, tmp_path: Path) -> None:
    script = (verify.folder / "program.js").read_text(encoding="utf-8")
    module, count = re.subn(r"const (\w+) = require\('(.+?)'\);", r"import \1 from '\2';", script)
    assert count == 2
    assert module.split(" //")[0] in PAGE
    (tmp_path / "program.mjs").write_text(module, encoding="utf-8")
    as_module = replace(verify, folder=tmp_path, command=("node", "program.mjs"))
    assert as_module(VECTOR.key, VECTOR.headers, BODY, now=NOW) == "verified"
    assert as_module(VECTOR.key, VECTOR.headers, BODY + b" ", now=NOW) == NO_FIT
