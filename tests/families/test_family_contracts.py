"""Every family that ships keeps the contract of families, with tiny models."""

from __future__ import annotations

import pytest

from olpipe.families.gemma3 import Gemma3
from olpipe.families.idefics3 import Idefics3
from olpipe.families.llava import LLAVA_1_5, LLAVA_1_6
from olpipe.families.qwen2_5_vl import Qwen25VL
from olpipe.families.qwen3_vl import Qwen3VL
from olpipe.families.table import FAMILIES
from olpipe.testing.contracts import FamilyContract
from olpipe.testing.vision_models import projector_content

TINY = {
    "idefics3": Idefics3(),
    "llava": LLAVA_1_5,
    "gemma3": Gemma3(),
    "qwen2_5_vl": Qwen25VL(),
    "qwen3_vl": Qwen3VL(),
}


@pytest.mark.parametrize("name", TINY)
class TestFamilies(FamilyContract):
    @pytest.fixture
    def family(self, name):
        return TINY[name]

    @pytest.fixture
    def projector(self, name, tmp_path):
        return projector_content(name).write(tmp_path / "mmproj.gguf")


class TestLlava16(FamilyContract):
    # Its files have the same type as those of LLaVA 1.5, which finds out that they are of LLaVA 1.6.
    test_its_files_name_it = None

    # Without the value that tells the two versions apart, this is a file of LLaVA 1.5.
    @pytest.fixture
    def family(self):
        return LLAVA_1_6

    @pytest.fixture
    def projector(self, tmp_path):
        content = projector_content("llava")
        content.metadata["clip.vision.image_grid_pinpoints"] = [128, 64]
        return content.write(tmp_path / "mmproj.gguf")


def test_no_family_that_ships_is_left_out():
    assert {family.name for family in FAMILIES} == {family.name for family in (*TINY.values(), LLAVA_1_6)}
