"""While a model is loaded, the libraries' own warnings are silent; afterwards all is as it was, also with threads."""

from __future__ import annotations

import threading
import warnings

from vecindex.encoders.run.torch import quiet

SECONDS = 60.0


def test_two_threads_that_load_models_leave_the_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    is_second_within, is_first_done = threading.Event(), threading.Event()

    def second() -> None:
        with quiet():
            is_second_within.set()
            assert is_first_done.wait(SECONDS)

    thread = threading.Thread(target=second, daemon=True)
    with quiet():
        thread.start()
        assert not is_second_within.wait(0.2)
    is_first_done.set()
    thread.join(SECONDS)
    assert is_second_within.is_set()
    assert list(warnings.filters) == before


def test_one_thread_may_load_a_model_while_it_loads_another() -> None:
    before = list(warnings.filters)
    with quiet(), quiet():
        warnings.warn("of a library", stacklevel=1)
    assert list(warnings.filters) == before
