"""Processors and GPUs, as the files of the system and NVIDIA's own program tell of them."""

import os
import sys

import pytest

from olpipe.checkup import hardware
from olpipe.checkup.hardware import Gpus, nvidia_gpus, processor
from olpipe.checkup.host import check_machine
from olpipe.checkup.report import Section

EPYC = "processor\t: 0\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu avx2 avx512f avx512_vnni\n\nprocessor\t: 1\n"
ATOM = "processor\t: 0\nmodel name\t: Intel Atom\nflags\t\t: fpu sse4_2\n"
NEOVERSE = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n"


def put(root, path, text):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return root


def program(folder, text):
    """Write a program called `nvidia-smi`; return what PATH has to be."""
    folder.mkdir(exist_ok=True)
    path = folder / "nvidia-smi"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("cpuinfo", "features", "is_slow"),
    [
        (EPYC, ("AVX2", "AVX-512", "AVX-512 VNNI"), False),
        (ATOM, (), True),
        (NEOVERSE, ("NEON", "dot products", "8-bit matrices"), False),
    ],
)
def test_vector_units_are_read_from_the_flags_of_the_processor(tmp_path, cpuinfo, features, is_slow):
    found = processor(root=put(tmp_path, "proc/cpuinfo", cpuinfo))
    assert (found.features, found.is_slow) == (features, is_slow)


def test_the_processor_has_the_name_that_it_gives_itself(tmp_path):
    assert processor(root=put(tmp_path, "proc/cpuinfo", EPYC)).name == "AMD EPYC 9654"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell it otherwise")
def test_where_nothing_tells_the_vector_units_they_are_not_known(tmp_path):
    found = processor(root=tmp_path)
    assert (found.features, found.is_slow) == (None, False)


def test_gpus_are_named_by_the_files_of_the_driver(tmp_path):
    text = "Model: \t\t NVIDIA H100 PCIe\nIRQ: 12\n"
    put(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information", text)
    put(tmp_path, "proc/driver/nvidia/gpus/0000:02:00.0/information", text)
    assert nvidia_gpus(root=tmp_path, path="") == Gpus(("NVIDIA H100 PCIe",) * 2)


def test_a_machine_without_a_driver_has_no_gpu(tmp_path):
    assert nvidia_gpus(root=tmp_path, path=str(tmp_path)) == Gpus()


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("print('NVIDIA RTX 4090\\nNVIDIA T4')", Gpus(("NVIDIA RTX 4090", "NVIDIA T4"))),
        (
            "import sys; print('NVIDIA-SMI has failed to talk with the driver.\\nMore'); sys.exit(9)",
            Gpus(trouble="`nvidia-smi` fails: NVIDIA-SMI has failed to talk with the driver."),
        ),
        ("import sys; sys.exit(9)", Gpus(trouble="`nvidia-smi` fails: exit code 9")),
    ],
)
def test_gpus_are_asked_of_nvidias_program(tmp_path, text, found, monkeypatch):
    monkeypatch.setenv("PATH", program(tmp_path / "bin", text))
    monkeypatch.setattr(hardware, "SMI_WITHIN_S", 60.0)  # a busy machine starts programs slowly
    assert nvidia_gpus(root=tmp_path) == found


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_a_program_that_does_not_answer_is_not_waited_for(tmp_path):
    path = program(tmp_path / "bin", "import time; time.sleep(600)")
    assert nvidia_gpus(root=tmp_path, path=path) == Gpus(trouble="`nvidia-smi` does not answer")


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_a_program_that_cannot_be_run_is_told(tmp_path):
    path = program(tmp_path / "bin", "")
    (tmp_path / "bin/nvidia-smi").write_bytes(b"\x7fELF")
    assert nvidia_gpus(root=tmp_path, path=path).trouble == "`nvidia-smi` cannot be run: Exec format error"


def about(root, *, gpus=None, directml=False):
    """Return the section about the machine: its facts, and its rows by name."""
    section = Section("machine", "Machine")
    check_machine(section, gpus=gpus or Gpus(), directml=directml, root=root)
    return section.facts, {row.name: row for row in section.rows}


def test_a_processor_without_vector_units_is_worth_a_look(tmp_path):
    facts, rows = about(put(tmp_path, "proc/cpuinfo", ATOM))
    assert (rows["processor"].state, facts["features"]) == ("note", [])
    assert rows["processor"].text == "Intel Atom, without AVX2: models run slowly"


def test_the_limits_of_a_control_group_are_told(tmp_path):
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    put(tmp_path, "sys/fs/cgroup/memory.max", "1000000000\n")
    put(tmp_path, "sys/fs/cgroup/memory.current", "400000000\n")
    facts, rows = about(tmp_path)
    assert (facts["cpu_quota"], facts["memory_limit"], facts["available_memory"]) == (1.5, 10**9, 6 * 10**8)
    assert rows["cores"].text == "1 can be kept busy; its control group allows 1.5 processors"
    assert rows["memory"].state == "note"
    assert rows["memory"].text.endswith(" available; a control group allows 1 GB")
    assert rows["memory"].text.startswith("600 MB of ")


def test_gpus_and_what_is_wrong_with_them_are_told(tmp_path):
    assert about(tmp_path, gpus=Gpus(("NVIDIA T4",)))[1]["GPU"].text == "NVIDIA T4"
    assert about(tmp_path, gpus=Gpus(trouble="`nvidia-smi` does not answer"))[1]["GPU"].state == "note"
    assert about(tmp_path)[1]["GPU"].text == "none of NVIDIA's was found"
    assert about(tmp_path, directml=True)[0]["directml"] is True
