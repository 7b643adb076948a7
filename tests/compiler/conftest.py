"""Both backends; compiled code is kept in a folder of the session's own."""

import pytest

from tinygrad_rnn.compiler import program


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_RNN_CACHE", str(tmp_path_factory.mktemp("scan")))
        yield


@pytest.fixture(params=["native", "numpy"])
def backend(request, monkeypatch):
    """A backend, with no programs remembered."""
    if request.param == "numpy":
        monkeypatch.setattr(program, "_machine", lambda: None)
    monkeypatch.setattr(program, "_programs", type(program._programs)())
    return request.param
