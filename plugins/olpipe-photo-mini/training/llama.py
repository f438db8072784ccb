"""A llama decoder in torch, frozen, with low-rank adapters beside its linear layers.

Olpipe's own GGUF reader reads the weights. Queries and keys keep GGUF's order, in which the two values that rotate
together are neighbours. So an adapter that is trained here fits the file's own tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from olpipe.convert.decoder_config import DecoderConfig, read_config
from olpipe.convert.dequantize import dequantize
from olpipe.convert.floats import Floats
from olpipe.convert.gguf import GGUFFile, open_gguf
from olpipe.convert.linear import Blocks
from olpipe.convert.quantize import dequantize as dequantize_blocks
from olpipe.convert.quantize import quantize

FAST = torch.bfloat16 if torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
"""What the matrices are multiplied in. A processor without bfloat16 is much slower in it than in float32."""

ADAPTED = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class AdaptedLinear(nn.Module):
    """A frozen matrix plus `scale * B @ A`. The sum is rounded now and then; only A and B are trained.

    After a rounding, `rest + scale * B @ A` is the rounded sum.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # (outputs, inputs)
        self.register_buffer("rest", weight.to(FAST, copy=True))  # (outputs, inputs)
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1]) * rank**-0.5 * 0.1)  # (rank, inputs)
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))  # (outputs, rank)
        self.scale = scale

    @torch.no_grad()
    def round(self, blocks: Blocks) -> None:
        """Round the sum as the converter does. What A and B learn from then on is added unrounded."""
        added = self.scale * self.b @ self.a  # (outputs, inputs)
        merged = (self.weight + added).cpu().numpy()
        values = dequantize_blocks(quantize(merged, blocks.coding, blocks.size), blocks.coding)
        self.rest.copy_(torch.from_numpy(values).to(added.device) - added)

    def forward(self, values: Tensor) -> Tensor:
        """Return (..., outputs) for (..., inputs)."""
        flat = values.reshape(-1, values.shape[-1])  # (all tokens, inputs)
        low = flat @ self.a.to(values.dtype).T  # (all tokens, rank)
        sums = torch.addmm(flat @ self.rest.T, low, (self.scale * self.b).to(values.dtype).T)
        return sums.view(*values.shape[:-1], -1)


class Block(nn.Module):
    """Attention and feed-forward. The residual stream stays in float32."""

    def __init__(self, config: DecoderConfig, layers: dict[str, AdaptedLinear], norms: dict[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleDict(layers)
        for name, weight in norms.items():
            self.register_buffer(name, weight)

    def forward(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Return the residual stream, (batch, tokens, width), after this block.

        Args:
            hidden: The residual stream before it, (batch, tokens, width).
            cosines: Of the angles that pairs of values are turned by, (tokens, head_size / 2).
            sines: Of the same angles.
        """
        config, layers = self.config, self.layers
        batch, tokens, _ = hidden.shape
        normed = self._norm(hidden, self.attn_norm)

        def heads(values: Tensor, count: int) -> Tensor:
            """Return (batch, count, tokens, head_size) for (batch, tokens, count * head_size)."""
            return values.view(batch, tokens, count, config.head_size).transpose(1, 2)

        # 1. Queries, keys and values of each head; some query heads share a head of keys and values

        query = rotate(heads(layers["attn_q"](normed), config.heads), cosines, sines)
        key = rotate(heads(layers["attn_k"](normed), config.kv_heads), cosines, sines)
        value = heads(layers["attn_v"](normed), config.kv_heads)
        groups = config.heads // config.kv_heads
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        # 2. Attention to earlier tokens: (batch, heads, tokens, tokens). Padding is on the right, where it never looks,
        #    so padding needs no mask. Written out, this is three times as fast on a CPU as torch's own in bfloat16.
        scores = (query @ key.transpose(2, 3)).float() * config.head_size**-0.5
        scores = scores + torch.full((tokens, tokens), -1e9, device=scores.device).triu(1)
        attended = scores.softmax(-1).to(value.dtype) @ value  # (batch, heads, tokens, head_size)
        hidden = hidden + layers["attn_output"](attended.transpose(1, 2).reshape(batch, tokens, -1)).float()
        # 3. Feed-forward
        normed = self._norm(hidden, self.ffn_norm)
        gated = functional.silu(layers["ffn_gate"](normed)) * layers["ffn_up"](normed)
        return hidden + layers["ffn_down"](gated).float()

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(hidden, (hidden.shape[-1],), weight, self.config.epsilon).to(FAST)


class Llama(nn.Module):
    """A decoder in which only the adapters have gradients."""

    def __init__(self, path: Path, *, rank: int, scale: float) -> None:
        """Read a GGUF file.

        Args:
            path: The file.
            rank: The rank of every adapter.
            scale: What `B @ A` is multiplied by.
        """
        super().__init__()
        source = open_gguf(path)
        self.config = read_config(source.header)
        self.register_buffer("embedding", _tensor(source, "token_embd.weight").to(FAST))
        output = "token_embd.weight" if self.config.tied_embeddings else "output.weight"
        self.register_buffer("output", _tensor(source, output).to(FAST))
        self.register_buffer("output_norm", _tensor(source, "output_norm.weight"))
        self.blocks = nn.ModuleList(
            Block(
                self.config,
                {name: AdaptedLinear(_tensor(source, f"blk.{layer}.{name}.weight"), rank, scale) for name in ADAPTED},
                {name: _tensor(source, f"blk.{layer}.{name}.weight") for name in ("attn_norm", "ffn_norm")},
            )
            for layer in range(self.config.layers)
        )

    def round(self, blocks: Blocks) -> None:
        """Round all matrices again, with what their adapters have learnt since the last time."""
        linears = [linear for block in self.blocks for linear in block.layers.values()]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(lambda linear: linear.round(blocks), linears))

    def loss(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean cross-entropy of the wanted tokens.

        Args:
            tokens: (batch, tokens), padded on the right.
            wanted: (batch, tokens), True where a token belongs to an answer.
        """
        hidden = functional.embedding(tokens, self.embedding).float()  # (batch, tokens, width)
        cosines, sines = self._angles(tokens.shape[1], tokens.device)
        for block in self.blocks:
            hidden = block(hidden, cosines, sines)
        hidden = functional.rms_norm(hidden, (hidden.shape[-1],), self.output_norm, self.config.epsilon)
        # Logits of the whole vocabulary cost much: only those before a token of an answer are computed.
        saying = hidden[:, :-1][wanted[:, 1:]].to(FAST)  # (wanted tokens, width)
        return functional.cross_entropy(functional.linear(saying, self.output).float(), tokens[:, 1:][wanted[:, 1:]])

    def pairs(self) -> dict[str, tuple[Floats, Floats]]:
        """Return A, (rank, inputs), and B, (outputs, rank), of every adapted tensor, by its name in the file."""
        return {
            f"blk.{layer}.{name}.weight": (linear.a.detach().cpu().numpy(), linear.b.detach().cpu().numpy())
            for layer, block in enumerate(self.blocks)
            for name, linear in block.layers.items()
        }

    def set_pairs(self, pairs: Mapping[str, tuple[Floats, Floats]]) -> None:
        """Start from an adapter's A and B. Its B is already multiplied by the scale."""
        for layer, block in enumerate(self.blocks):
            for name, linear in block.layers.items():
                a, b = pairs[f"blk.{layer}.{name}.weight"]
                linear.a.data, linear.b.data = torch.from_numpy(a), torch.from_numpy(b / linear.scale)

    def _angles(self, tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the angles of each position, (tokens, head_size / 2) each."""
        size = self.config.head_size
        frequencies = self.config.rope_base ** -(torch.arange(0, size, 2, device=device) / size)
        angles = torch.outer(torch.arange(tokens, device=device) / self.config.rope_scale, frequencies)
        return angles.cos().to(FAST), angles.sin().to(FAST)


def rotate(values: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of neighbouring values, (batch, heads, tokens, head_size), by the angle of its position."""
    first, second = values[..., 0::2], values[..., 1::2]
    return torch.stack([first * cosines - second * sines, first * sines + second * cosines], -1).flatten(-2)


def _tensor(source: GGUFFile, name: str) -> Tensor:
    info = source.header.tensors[name]
    values = torch.from_numpy(dequantize(source.rows(info), info.type))
    return values[0] if len(info.shape) == 1 else values
