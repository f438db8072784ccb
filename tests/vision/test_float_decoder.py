"""The plain float32 implementation, which conversions are measured against, says what the reference says."""

from __future__ import annotations

import numpy as np
import pytest
from references import load_cases

from olpipe.testing.float_decoder import FloatDecoder
from olpipe.testing.vision_models import FAMILIES, TEXT_MODELS, text_content, write_text_gguf

CASES = {
    f"{name}: {case}": (name, case)
    for name in (*TEXT_MODELS, *FAMILIES)
    for case in load_cases(name)
    if not case.images  # it reads texts only
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_logits_over_the_whole_vocabulary_are_those_of_the_reference(case, tmp_path):
    name, recorded = case
    path = tmp_path / "text.gguf"
    write_text_gguf(name, path) if name in TEXT_MODELS else text_content(name).write(path)
    logits = FloatDecoder(path).logits(recorded.token_ids)
    for place, expected in recorded.logits.items():
        np.testing.assert_allclose(logits[place], expected, rtol=0, atol=1e-4)
