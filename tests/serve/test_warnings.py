"""Warnings of a run reach those who use the page or the API, in words that fit there."""

from __future__ import annotations

import logging
import threading

import pytest

from cellpose.models._doubt import Signs, doubt_of
from cellpose.options import Evaluation
from cellpose.serve._warnings import collected, in_words_of_api

GOOD = Signs(n_cells=20, diameter_px=30.0, logit=4.0, kept=1.0, foreground=0.3, planes=10.0)
VOLUME, STITCH = Evaluation(do_3D=True), Evaluation(stitch_threshold=0.3)


@pytest.mark.parametrize(
    ("signs", "options", "advice"),
    [
        ({"diameter_px": 9.0}, Evaluation(), "; try diameter 9 if the cells found are right"),
        ({"logit": 0.5}, Evaluation(), "; look at them, and try another channel or another model"),
        ({"n_cells": 2, "kept": 0.1}, Evaluation(), "; try another channel or another model"),
        ({"planes": 1.0}, VOLUME, "size of a pixel), or mode stitch with stitch_threshold 0.3 instead of mode volume"),
        ({"planes": 1.0}, STITCH, "; try a lower stitch_threshold or mode volume"),
    ],
)
def test_advice_names_options_of_the_api(signs, options, advice):
    doubt = doubt_of(Signs(**{**vars(GOOD), **signs}), options, 30.0, 20)
    assert "--" in doubt
    assert in_words_of_api(f"image: {doubt}").endswith(advice)
    assert "--" not in in_words_of_api(doubt)


def test_each_warning_of_a_thread_is_kept_once():
    logger, found = logging.getLogger("cellpose.models"), []
    with collected(found):
        logger.warning("image: %s", "the first")
        logger.warning("the first")
        logger.info("no warning")
        other = threading.Thread(target=logger.warning, args=("of another job",))
        other.start()
        other.join()
        for number in range(50):
            logger.warning("of frame %d", number)
    logger.warning("too late")
    assert found[:2] == ["the first", "of frame 0"]
    assert len(found) == 10
