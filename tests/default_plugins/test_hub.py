"""Models from the Hugging Face hub: which files are taken, and that what was pulled runs."""

import json
from dataclasses import replace

import pytest

from olpipe.default_plugins.sources.hub.options import HubOptions
from olpipe.default_plugins.sources.hub.source import HubSource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import NotAtSource, PullFailed
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe.store.library import Library
from olpipe.store.manifest import REVISION, SOURCE, Manifest
from olpipe.testing.contracts import ModelSourceContract
from olpipe.testing.images import photo
from olpipe.testing.models import build_tiny_package, write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf
from tests.default_plugins.hub_server import COMMIT

MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=10, answer_s=10, first_wait_s=0.01, longest_wait_s=0.02)
REPOSITORY = "somebody/Tiny-GGUF"
CARD = b"---\nlicense: mit\n---\n# Tiny\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The bytes of a tiny text model."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """The bytes of a tiny vision model and of its projector."""
    paths = write_vision_gguf("idefics3", tmp_path_factory.mktemp("seeing"))
    return tuple(path.read_bytes() for path in paths)


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def pull(hub, library):
    """Pull a reference, and return the names and bytes of the files that became the model."""

    def pull(reference, **options):
        found = HubOptions(endpoint=hub.url, patience=QUICK, **options)
        HubSource(lambda: found).pull(reference, MINE, library, lambda progress: None)
        folder = library.get(MINE).path
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return pull


class TestHubSource(ModelSourceContract):
    missing = "somebody/there-is-no-such-thing"

    @pytest.fixture
    def source(self, hub, tiny):
        hub.put(REPOSITORY, {"tiny-Q4_K_M.gguf": tiny, "README.md": CARD})
        return HubSource(lambda: HubOptions(endpoint=hub.url, patience=QUICK))

    @pytest.fixture
    def reference(self):
        return f"hf.co/{REPOSITORY}:Q4_K_M"

    @pytest.fixture
    def search_words(self, hub):
        hub.found = {"gguf": [{"id": f"somebody/Tiny-{number}-GGUF"} for number in range(5)]}
        return ("tiny", "gguf")


def refused(pull, reference):
    with pytest.raises(PullFailed) as caught:
        pull(reference)
    return caught.value


# --- which files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-F16.gguf"], "", "a-Q4_K_M.gguf"),
        (["a.Q8_0.gguf", "a.Q4_0.gguf", "a.Q2_K.gguf"], "", "a.Q4_0.gguf"),
        (["a-Q8_0.gguf", "a-f16.gguf"], "", "a-Q8_0.gguf"),
        (["a-IQ2_XXS.gguf", "a-Q6_K.gguf"], "", "a-Q6_K.gguf"),
        (["a-IQ2_XXS.gguf"], "", "a-IQ2_XXS.gguf"),
        (["model.gguf"], "", "model.gguf"),
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf"], ":q8_0", "a-Q8_0.gguf"),
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf"], ":latest", "a-Q4_K_M.gguf"),
        (["a-UD-Q4_K_XL.gguf", "a-Q8_0.gguf"], ":Q4_K_XL", "a-UD-Q4_K_XL.gguf"),
        (["a-i1-Q4_K_M.gguf", "a-imatrix.gguf"], "", "a-i1-Q4_K_M.gguf"),
        (["BF16/a-BF16-00001-of-00002.gguf", "BF16/a-BF16-00002-of-00002.gguf", "a-Q8_0.gguf"], "", "a-Q8_0.gguf"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], ":b-Q8_0.gguf", "b-Q8_0.gguf"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], ":b-Q8_0", "b-Q8_0.gguf"),
    ],
)
def test_one_quantisation_is_chosen(hub, pull, tiny, names, variant, chosen):
    files = {name: tiny + b"\0" * at for at, name in enumerate(names)}  # each has bytes of its own
    hub.put(REPOSITORY, files)
    assert pull(f"hf.co/{REPOSITORY}{variant}") == {"model.gguf": files[chosen]}


@pytest.mark.parametrize(
    ("names", "variant", "message", "hint"),
    [
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf"], ":Q5_K_M", "has no `Q5_K_M`", "it has `Q4_K_M`, `Q8_0`"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "", "has 2 models", "choose one: `:a-Q8_0.gguf`, `:b-Q8_0.gguf`"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], ":Q8_0", "has 2 models of the kind `Q8_0`", "choose one: "),
        (
            ["a-F16-00001-of-00002.gguf", "a-F16-00002-of-00002.gguf", "a-Q8_0.gguf"],
            ":F16",
            "is one of 2 parts of a model, and such parts are not joined",
            "these are whole: `Q8_0`",
        ),
        (["mmproj-F16.gguf"], "", "has only a projector", "`olpipe search --hub Tiny-GGUF`"),
        (["model.safetensors", "config.json"], "", "has neither a .gguf file nor a package", "`olpipe search --hub"),
    ],
)
def test_what_is_not_there_or_not_clear_is_an_error_that_lists_what_there_is(
    hub, pull, tiny, names, variant, message, hint
):
    hub.put(REPOSITORY, dict.fromkeys(names, tiny))
    error = refused(pull, f"hf.co/{REPOSITORY}{variant}")
    assert message in error.message and REPOSITORY in error.message
    assert hint in error.hint
    assert hub.sent(tiny) == 0


@pytest.mark.parametrize(
    ("projectors", "chosen"),
    [
        (["mmproj-Q8_0.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"], "mmproj-F16.gguf"),
        (["mmproj-a-Q8_0.gguf", "mmproj-a-bf16.gguf"], "mmproj-a-bf16.gguf"),
        (["mmproj-b-f16.gguf", "mmproj-a-Q8_0.gguf"], "mmproj-a-Q8_0.gguf"),
        (["other/mmproj-f16.gguf", "a.mmproj-Q8_0.gguf"], "a.mmproj-Q8_0.gguf"),
    ],
)
def test_a_projector_comes_with_its_model(hub, pull, seeing, projectors, chosen):
    text, projector = seeing
    files = {name: projector + b"\0" * at for at, name in enumerate(projectors)}
    hub.put(REPOSITORY, {"a-Q8_0.gguf": text, **files})
    assert pull(f"hf.co/{REPOSITORY}") == {"model.gguf": text, "projector.gguf": files[chosen]}


def test_licence_card_and_texts_of_a_repository_become_the_models(hub, pull, library, tiny):
    texts = {"LICENSE": b"Do as you like.", "README.md": CARD, "system": b"Be brief.", "params": b'{"top_k": 3}'}
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny, "run.py": b"exit()", "notes/LICENSE": b"no", **texts})
    assert list(pull(f"hf.co/{REPOSITORY}")) == ["model.gguf"]
    model = library.get(MINE)
    assert (model.licenses, model.card) == (("Do as you like.",), CARD.decode())
    assert (model.system, model.parameters) == ("Be brief.", {"top_k": 3})


def test_a_licence_that_only_the_card_names_is_told(hub, pull, library, tiny):
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny})
    hub.cards[REPOSITORY] = {"license": "other", "license_name": "tiny-terms", "license_link": "https://tiny.example/t"}
    pull(f"hf.co/{REPOSITORY}")
    (text,) = library.get(MINE).licenses
    assert "its licence is tiny-terms. It is at https://tiny.example/t." in text


# --- packages -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The files of a tiny package of ONNX Runtime GenAI."""
    folder = build_tiny_package(tmp_path_factory.mktemp("package") / "package")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def inside(folder, files):
    return {f"{folder}/{name}": data for name, data in files.items()}


CPU, CUDA = "cpu_and_mobile/cpu-int4-rtn-block-32", "cuda/cuda-int4"


@pytest.mark.parametrize("variant", ["", ":cpu-int4", ":cpu-int4-rtn-block-32", f":{CPU}", ":MOBILE"])
def test_a_package_is_chosen_by_its_folder_or_by_a_part_of_its_name(hub, pull, package, variant):
    strange = {"code.py": b"exit()", "weights.bin": b"\x80\x04.", "custom.so": b"\x7fELF", ".hidden.json": b"{}"}
    other = {name: data + b" " for name, data in package.items()}
    hub.put(REPOSITORY, inside(CPU, package | strange) | inside(CUDA, other) | {"README.md": CARD})
    assert pull(f"hf.co/{REPOSITORY}{variant}") == package


def test_packages_that_may_be_meant_are_listed(hub, pull, package):
    hub.put(REPOSITORY, inside(CPU, package) | inside(CUDA, package))
    error = refused(pull, f"hf.co/{REPOSITORY}:int4")
    assert "has 2 packages that may be meant" in error.message
    assert error.hint == f"choose `:{CPU}`, `:{CUDA}`"
    error = refused(pull, f"hf.co/{REPOSITORY}:directml")
    assert "has no package `directml`" in error.message
    assert error.hint == f"it has `:{CPU}`, `:{CUDA}`"


def test_a_package_with_native_code_is_refused_before_its_weights_come(hub, pull, package):
    config = json.loads(package["genai_config.json"])
    config["model"]["decoder"]["session_options"] = {"custom_ops_library": "evil.so"}
    hub.put(REPOSITORY, package | {"genai_config.json": json.dumps(config).encode()})
    assert "loads native code, `evil.so`" in refused(pull, f"hf.co/{REPOSITORY}").message
    assert hub.storage.sent.total() == 0


def test_a_package_runs(hub, run, package):
    hub.put(REPOSITORY, inside(CPU, package))
    assert run("pull", f"hf.co/{REPOSITORY}:cpu-int4", "--name", "tiny")[0] == 0
    code, out, err = run("run", "tiny", "--max-tokens", 3, "Hello!")
    assert (code, bool(out.strip())) == (0, True), err


# --- what was pulled ----------------------------------------------------------------------------


def test_a_text_model_runs(hub, run, tiny):
    hub.put(REPOSITORY, {"tiny-Q4_K_M.gguf": tiny})
    code, _, err = run("pull", f"hf.co/{REPOSITORY}:Q4_K_M")
    assert (code, "success" in err) == (0, True), err
    code, out, err = run("run", f"hf.co/{REPOSITORY}:Q4_K_M", "--max-tokens", 3, "Hello!")
    assert (code, bool(out.strip())) == (0, True), err
    assert json.loads(run("list", "--json")[1])[0]["name"] == f"hf.co/{REPOSITORY}:Q4_K_M"


def test_a_model_with_a_projector_sees_a_photo(hub, run, seeing, tmp_path):
    text, projector = seeing
    hub.put(REPOSITORY, {"a-Q8_0.gguf": text, "mmproj-a-f16.gguf": projector})
    (tmp_path / "cat.jpg").write_bytes(photo(96, 64))
    code, _, err = run("pull", f"https://huggingface.co/{REPOSITORY}", "--name", "seer")
    assert code == 0, err
    assert "vision" in json.loads(run("show", "seer", "--json")[1])["capabilities"]
    code, out, err = run("run", "seer", "--max-tokens", 3, f"What is in {tmp_path / 'cat.jpg'}?")
    assert (code, bool(out.strip())) == (0, True), err


def test_a_short_name_says_where_it_leads_and_runs(hub, run, tiny):
    repository = "ggml-org/SmolVLM-500M-Instruct-GGUF"
    hub.put(repository, {"SmolVLM-500M-Instruct-Q8_0.gguf": tiny, "SmolVLM-500M-Instruct-f16.gguf": tiny + b"\0"})
    code, _, err = run("pull", "smolvlm:500m")
    assert code == 0, err
    assert f"pulling `smolvlm:500m` from `hf.co/{repository}:Q8_0`" in err
    code, out, err = run("run", "smolvlm", "--max-tokens", 3, "Hello!")  # which is another name, and pulled, too
    assert (code, bool(out.strip())) == (0, True), err
    assert sorted(row["name"] for row in json.loads(run("list", "--json")[1])) == ["smolvlm:500m", "smolvlm:latest"]


def test_the_manifest_says_which_commit_it_is_and_two_pulls_agree(hub, pull, library, tiny):
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny})
    pull(f"hf.co/{REPOSITORY}")
    first = library.describe(MINE)
    assert Manifest.from_bytes(first.data).annotations == {SOURCE: f"{hub.url}/{REPOSITORY}", REVISION: COMMIT}
    library.remove(MINE)
    later = {"tiny-Q8_0.gguf": tiny + b"\0"}
    hub.put(REPOSITORY, later, commit="f" * 40)
    pull(f"hf.co/{REPOSITORY}")
    assert library.digest(MINE) != first.digest
    pull(f"hf.co/{REPOSITORY}@{COMMIT}")
    assert library.digest(MINE) == first.digest


def test_a_branch_may_have_a_slash_in_it(hub, run, library, tiny):
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny}, revision="refs/pr/1")
    code, _, err = run("pull", f"hf.co/{REPOSITORY}@refs/pr/1:Q8_0")
    assert code == 0, err
    assert json.loads(run("list", "--json")[1])[0]["name"] == f"hf.co/{REPOSITORY}:Q8_0"
    code, _, err = run("run", f"hf.co/{REPOSITORY}@v2:Q8_0", "Hello!")
    assert (code, f"then use its name `hf.co/{REPOSITORY}:Q8_0`" in err) == (1, True), err


def test_a_repository_with_another_name_now_is_found(hub, pull, tiny):
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny})
    hub.renamed["somebody/old-name"] = REPOSITORY
    hub.repositories["somebody/old-name", COMMIT] = {"tiny-Q8_0.gguf": tiny}
    assert pull("hf.co/somebody/old-name") == {"model.gguf": tiny}


def test_a_mirror_that_lists_no_sizes_is_asked_for_each_file(hub, pull, tiny):
    hub.says_no_sizes = True
    hub.put(REPOSITORY, {"tiny-Q8_0.gguf": tiny, "LICENSE": b"Do as you like."})
    assert pull(f"hf.co/{REPOSITORY}") == {"model.gguf": tiny}
    assert hub.front.paths("HEAD") == [
        f"/{REPOSITORY}/resolve/{COMMIT}/{name}" for name in ("tiny-Q8_0.gguf", "LICENSE")
    ]


def test_kinds_of_layers_are_those_of_other_models(hub, pull, library, seeing):
    text, projector = seeing
    hub.put(REPOSITORY, {"a-Q8_0.gguf": text, "mmproj-a-f16.gguf": projector, "LICENSE": b"yes", "README.md": CARD})
    pull(f"hf.co/{REPOSITORY}")
    kinds = [replace(layer).media_type.removeprefix(MEDIA_TYPE) for layer in library.describe(MINE).manifest.layers]
    assert kinds == ["model", "projector", "license", "card"]


def test_what_is_missing_is_named(pull):
    with pytest.raises(NotAtSource, match="the hub has no model `nobody/nothing`, or it is private"):
        pull("hf.co/nobody/nothing")
