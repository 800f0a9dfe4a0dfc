"""The page's verifiers as programs, and what they are run on."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.integrators.languages import LANGUAGES, Language, Program
from tests.acceptance.integrators.sent import Sent, send_three


def _is_there(language: Language) -> None:
    """Go on if the language's commands are installed; skip, or fail where they are required."""
    if not (missing := language.missing()):
        return
    text = f"{' and '.join(missing)} not found: install Debian's {language.package}"
    if os.environ.get("CLAIMNOTIFY_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{text} (CLAIMNOTIFY_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(text)


@pytest.fixture(scope="module", params=LANGUAGES, ids=lambda language: language.tag)
def verify(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The page's verifier as a program, in every language."""
    _is_there(request.param)
    return request.param.program(tmp_path_factory.mktemp(request.param.tag))


@pytest.fixture(
    scope="module",
    params=[each for each in LANGUAGES if each.call[0]],
    ids=lambda language: language.tag,
)
def verify_public(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Program:
    """The page's verifier with a public key as a program, in the languages that can."""
    _is_there(request.param)
    folder = tmp_path_factory.mktemp(f"{request.param.tag}_public")
    return request.param.program(folder, public_key=True)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """What a notifier sent over a socket."""
    return send_three(tmp_path_factory.mktemp("sent"))
