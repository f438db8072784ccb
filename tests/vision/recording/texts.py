"""Text models in `transformers`."""

from __future__ import annotations

import transformers
from recording import gemma3
from recording.processors import tokenizer
from recording.weights import decoder, field, load

PROMPTS = [
    "the dog and the cat in the street",
    "the photo is with the cat of the dog and of the street. What is in the photo? " * 2,
]
_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
}


def model(name, path):
    """Return a model."""
    sizes = _SIZES | {"vocab_size": len(field(path, "tokenizer.ggml.tokens")), "attn_implementation": "eager"}
    renamed = {}
    if name == "qwen3":
        rope = {"rope_type": "default", "rope_theta": 1000000.0}
        made = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(head_dim=32, rope_parameters=rope, **sizes))
    elif name == "gemma3_text":
        config = transformers.Gemma3TextConfig(**gemma3.text_config(path), attn_implementation="eager")
        made, renamed = transformers.Gemma3ForCausalLM(config), gemma3.RENAMED
    else:
        made, renamed = transformers.Phi3ForCausalLM(_phi3(name, sizes)), {"ffn_up": "mlp.gate_up_proj"}
    return load(made, decoder(path, "model.", renamed=renamed))


def _phi3(name, sizes):
    if name == "phi3":
        rope = {"rope_type": "default", "rope_theta": 10000.0}
        return transformers.Phi3Config(rope_parameters=rope, sliding_window=16, **sizes)
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": 256,
        "factor": 8.0,
        "long_factor": [1 + 2 * number for number in range(8)],
        "short_factor": [1 + 0.25 * number for number in range(8)],
    }
    return transformers.Phi3Config(rope_parameters=rope, original_max_position_embeddings=256, **sizes)


def tokens(path, prompt):
    """Return the tokens of a prompt."""
    return tokenizer(path)(prompt)["input_ids"]
