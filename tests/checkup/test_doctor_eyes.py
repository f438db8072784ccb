"""`olpipe doctor MODEL --eyes`, with models that see with numpy, and with models that do not see."""

import json

import pytest

from olpipe.model import ModelConfig, ModelName
from olpipe.store.findings import Fit

WAYS = [("xyxy", "thousandths"), ("xyxy", "fractions"), ("yxyx", "pixels"), ("xywh", "original_pixels")]
KINDS = ["colour", "shape", "left_right", "above_below", "count", "word", "size"]


def right(found):
    return {kind: answer["right"] / answer["asked"] for kind, answer in found["answers"].items()}


def test_a_model_that_sees_is_told_from_one_that_does_not(eyes, examine):
    eyes()
    sees = examine()
    assert right(sees) == dict.fromkeys(KINDS, 1.0)
    assert sees["verdict"] == (
        "`eyes:latest` sees: colours, shapes, positions, numbers of things, printed words and sizes."
    )
    eyes(blind=["all"])
    blind = examine()
    assert right(blind) == {
        kind: pytest.approx(answer["guessing"], abs=1e-3) for kind, answer in blind["answers"].items()
    }
    assert blind["verdict"] == "`eyes:latest` does not see: its answers are no better than guesses."
    assert blind["boxes"]["used"] is None


def test_a_model_that_sees_colours_only_is_found_to_see_colours_only(eyes, examine):
    eyes(blind=["shape", "place", "count", "word"])
    found = examine()
    assert found["verdict"] == (
        "`eyes:latest` sees colours and sizes, but not shapes, positions, numbers of things or printed words."
    )
    assert [kind for kind in KINDS if found["answers"][kind]["better_than_guessing"]] == ["colour", "size"]


@pytest.mark.parametrize(("order", "unit"), WAYS)
def test_the_way_in_which_the_model_says_boxes_is_found_and_kept(eyes, examine, library, order, unit):
    eyes(really=(order, unit))
    found = examine()
    best = found["boxes"]["best"]
    assert ((best["order"], best["unit"]), best["overlap"] > 0.8) == ((order, unit), True)
    assert found["boxes"]["used"] == {"order": order, "unit": unit}
    finding = library.findings.get(found["digest"])
    assert (finding.makers, finding.verdict) == (("seeing", "1"), found["verdict"])
    assert (finding.best, finding.usual) == (Fit(**best), Fit(**found["boxes"]["usual"]))
    assert finding.change == ("" if (order, unit) == ("xyxy", "thousandths") else f"{order} {unit}")


def test_a_model_whose_family_says_no_boxes_is_not_asked_for_any(eyes, olpipe, library):
    eyes(boxes=False)
    code, out, _ = olpipe("doctor", "eyes", "--eyes")
    assert code == 0
    assert "boxes: not asked for, because no way is known in which this model says them" in out
    finding = library.findings.get(library.digest(ModelName.parse("eyes")))
    assert (finding.usual, finding.best, finding.change) == (None, None, "")


def test_what_is_written_for_people(eyes, olpipe):
    eyes(blind=["place"], really=("yxyx", "pixels"))
    code, out, said = olpipe("doctor", "eyes", "--eyes")
    assert code == 0
    lines = out.splitlines()
    assert lines[:3] == [
        "colour         6 of 6 right    guessing: 17%",
        "shape          8 of 8 right    guessing: 25%",
        "left right     4 of 8 right    guessing: 50%",
    ]
    assert lines[8].startswith("boxes as its family says them: two corners, x before y, in thousandths of the sides; ")
    assert lines[9].startswith("boxes as they fit best: two corners, y before x, in pixels of the image as the model ")
    assert lines[10] == "`olpipe batch` reads them in the way that fits best."
    assert lines[12:] == [
        "`eyes:latest` sees colours, shapes, numbers of things, printed words and sizes, but not positions."
    ]
    asking, *others = said.splitlines()
    (estimate,) = [line for line in others if "more questions" in line]  # a slow machine also says how far it is
    assert asking == "asking `eyes` about pictures"
    assert estimate.startswith("56 more questions will take about ")


def test_boxes_that_fit_in_no_way_are_told(eyes, olpipe):
    eyes(blind=["box"])
    _, out, _ = olpipe("doctor", "eyes", "--eyes")
    assert "They are wrong in every way to read them, so `olpipe batch` does not ask for boxes." in out


def test_a_model_that_cannot_take_the_questions_ends_with_1_and_nothing_is_kept(eyes, olpipe, library):
    eyes(fails=True)
    code, out, said = olpipe("doctor", "eyes", "--eyes", "--json")
    assert code == 1
    assert json.loads(out)["unasked"] == ["the picture is too large for this model"] * 59
    assert "59 questions could not be asked, so nothing is kept: the picture is too large for this model" in said
    assert library.findings.get(library.digest(ModelName.parse("eyes"))) is None


def test_a_finding_that_cannot_be_kept_is_warned_of(eyes, olpipe, library):
    eyes()
    (library.folder / "findings").write_text("a file where the folder should be")
    code, out, said = olpipe("doctor", "eyes", "--eyes")
    assert code == 0
    assert "`eyes:latest` sees" in out
    assert "warning: what was found is not kept: " in said


def test_a_model_that_does_not_see_is_refused(library, olpipe):
    library.commit(ModelName.parse("words"), ModelConfig(), [])
    assert olpipe("doctor", "words", "--eyes") == (
        2,
        "",
        "error: model `words:latest` does not see images, so there is nothing to examine\n"
        "hint: `olpipe show words:latest` lists what it can do\n",
    )


def test_a_model_that_is_run_without_its_vision_encoder_is_refused(eyes, olpipe):
    eyes(eyeless=True)
    code, out, said = olpipe("doctor", "eyes", "--eyes")
    assert (code, out) == (2, "")
    assert "error: the backend `seeing` runs `eyes:latest` without its vision encoder\n" in said


def test_a_model_that_is_not_here_is_not_fetched(olpipe):
    code, out, said = olpipe("doctor", "photo-mini", "--eyes")
    assert (code, out) == (1, "")
    assert said.splitlines()[0] == "error: model `photo-mini:latest` is not on this machine"


def test_eyes_need_a_model(olpipe):
    assert olpipe("doctor", "--eyes") == (
        2,
        "",
        "error: `--eyes` needs a model to examine\nhint: run `olpipe doctor MODEL --eyes`\n",
    )
