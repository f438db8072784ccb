"""The tiny models of `olpipe.testing` are real ones."""

from __future__ import annotations

import json

import gguf

from olpipe.testing.models import build_tiny_package, write_tiny_gguf


def test_the_gguf_package_reads_a_tiny_model_as_it_was_meant(tmp_path):
    reader = gguf.GGUFReader(write_tiny_gguf(tmp_path / "tiny.gguf", context_length=512))
    assert reader.get_field("general.architecture").contents() == "llama"
    assert reader.get_field("llama.context_length").contents() == 512
    assert reader.get_field("tokenizer.ggml.tokens").contents()[2] == "<|im_end|>"
    assert sum(tensor.name.endswith("attn_q.weight") for tensor in reader.tensors) == 2


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path):
    first, again, other = (
        write_tiny_gguf(tmp_path / f"{number}.gguf", seed=seed).read_bytes() for number, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert first != other


def test_a_tiny_package_answers_in_onnxruntime_genai(tmp_path):
    import onnxruntime_genai as og

    model = og.Model(str(build_tiny_package(tmp_path / "package")))
    tokenizer = og.Tokenizer(model)
    prompt = tokenizer.apply_chat_template(
        messages=json.dumps([{"role": "user", "content": "hello"}]), add_generation_prompt=True
    )
    assert prompt == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=64)
    generator = og.Generator(model, parameters)
    generator.append_tokens(tokenizer.encode(prompt))
    generator.generate_next_token()
    assert generator.get_logits().shape == (1, 1, 329)
