"""Words that say nothing about a photo, in the languages that perceivers have words for: `photo` is true of each."""

from __future__ import annotations

from collections.abc import Mapping

from olpipe.languages import choose

ENGLISH = "en"

STOP_WORDS: Mapping[str, tuple[str, ...]] = {
    "en": (
        *("photo", "photos", "photograph", "photographs", "picture", "pictures", "image", "images", "pic", "pics"),
        *("snapshot", "stock photo", "jpg", "jpeg", "image file", "no tags", "none", "unknown", "n/a", "other"),
    ),
    "zh-Hans": ("照片", "相片", "图片", "图像", "影像", "图", "照", "无", "未知", "其他"),
    "zh-Hant": ("照片", "相片", "圖片", "圖像", "影像", "圖", "照", "無", "未知", "其他"),
    "ja": ("写真", "画像", "映像", "フォト", "スナップ", "スナップ写真", "なし", "不明", "その他"),
    "ko": ("사진", "이미지", "영상", "포토", "스냅", "스냅 사진", "없음", "알 수 없음"),
    "de": (
        *("Foto", "Fotos", "Photo", "Fotografie", "Fotografien", "Bild", "Bilder", "Aufnahme", "Aufnahmen"),
        *("Schnappschuss", "keine", "unbekannt", "sonstiges"),
    ),
    "fr": (
        *("photo", "photos", "photographie", "photographies", "image", "images", "cliché", "clichés"),
        *("aucun", "aucune", "inconnu", "autre"),
    ),
    "es": (
        *("foto", "fotos", "fotografía", "fotografías", "imagen", "imágenes", "instantánea"),
        *("ninguno", "ninguna", "desconocido", "otro"),
    ),
    "pt": (
        *("foto", "fotos", "fotografia", "fotografias", "imagem", "imagens", "instantâneo"),
        *("nenhum", "nenhuma", "desconhecido", "outro"),
    ),
    "ru": (
        *("фото", "фотография", "фотографии", "фотоснимок", "снимок", "изображение", "картинка", "кадр"),
        *("нет", "неизвестно", "другое"),
    ),
    "ar": ("صورة", "صور", "الصورة", "صورة فوتوغرافية", "لقطة", "لا شيء", "غير معروف", "أخرى"),
    "hi": ("फोटो", "फ़ोटो", "तस्वीर", "तस्वीरें", "छवि", "छायाचित्र", "कोई नहीं", "अज्ञात", "अन्य"),
}
"""The words of each language. They count only as whole tags: `picture frame` stays."""


def stop_words(language: str) -> tuple[str, ...]:
    """Return the words of a language and the English ones, which models write in any language.

    Args:
        language: A BCP 47 tag. One that has no words of its own gets the English ones.
    """
    chosen = choose(language, STOP_WORDS)
    own = STOP_WORDS[chosen] if chosen is not None else ()
    return own if chosen == ENGLISH else (*own, *STOP_WORDS[ENGLISH])
