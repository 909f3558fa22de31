#!/usr/bin/env python3
"""Writes the outlines of DejaVu Sans as Swift source, so that pictures need no font installed.

  pip install fonttools==4.68.0
  scripts/font_outlines.py /usr/share/fonts/truetype/dejavu

takes DejaVuSans.ttf and DejaVuSans-Bold.ttf (Debian: fonts-dejavu-core 2.37) and overwrites
Sources/Reports/Drawing/OutlinesRegular.swift and OutlinesBold.swift.
"""
import sys
from pathlib import Path

from fontTools.pens.basePen import decomposeQuadraticSegment
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

UNITS = 1024  # of the em, in the output
TARGET = Path(__file__).resolve().parent.parent / "Sources/Reports/Drawing"
LATIN = [*range(0x20, 0x7F), *range(0xA0, 0x180)]
GREEK = [*range(0x391, 0x3A2), *range(0x3A3, 0x3CA)]
CYRILLIC = [0x401, *range(0x410, 0x450), 0x451]
SIGNS = [ord(c) for c in "ʹ–—‘’‚“”„…•′″‖−∗∘∙√∞∑∏∫∂∇∈≈≠≡≤≥≪≫⟨⟩⌊⌋⌈⌉←→↑↓↔⊕⊗⊙⋅ᵀ⁰⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵢ₀₁₂₃₄₅₆₇₈₉ₙ₊₋‑■□▲△●○◆✓✗ℝ♯"]


def relative(glyph):
    """Commands m, l, q, z; each point relative to the one before, in units of the em / UNITS."""
    parts, last, start, scale = [], (0, 0), (0, 0), UNITS / glyph["em"]

    def step(point):
        nonlocal last
        point = (round(point[0] * scale), round(point[1] * scale))
        text = f"{point[0] - last[0]} {point[1] - last[1]}"
        last = point
        return text

    for name, points in glyph["commands"]:
        if name == "moveTo":
            parts.append("m" + step(points[0]))
            start = last
        elif name == "lineTo":
            parts.append("l" + step(points[0]))
        elif name == "qCurveTo":
            if points[-1] is None:
                points = points[:-1]
                middle = tuple((a + b) / 2 for a, b in zip(points[-1], points[0]))
                parts.append("m" + step(middle))
                start, points = last, (*points, middle)
            for control, end in decomposeQuadraticSegment(points):
                parts.append("q" + step(control) + " " + step(end))
        elif name in ("closePath", "endPath"):
            parts.append("z")
            last = start
        else:
            raise SystemExit(f"{name} is no command of a TrueType outline")
    return "".join(parts).replace(" -", "-")


def write(folder, file, name, wanted):
    font = TTFont(Path(folder) / file)
    glyphs, characters, em = font.getGlyphSet(), font.getBestCmap(), font["head"].unitsPerEm
    rows = []
    for code in sorted(set(wanted)):
        if code not in characters:
            raise SystemExit(f"{file} has no U+{code:04X}")
        pen = DecomposingRecordingPen(glyphs)
        glyph = glyphs[characters[code]]
        glyph.draw(pen)
        advance = round(glyph.width * UNITS / em)
        rows.append(f"{code:x} {advance} " + relative({"em": em, "commands": pen.value}))
    text = "|".join(rows)
    lines = ["    " + text[first : first + 104] for first in range(0, len(text), 104)]
    licence = (TARGET.parent.parent.parent / "LICENSE-DejaVu.txt").name
    (TARGET / f"Outlines{name}.swift").write_text(
        f"""extension Outlines {{
  /// {len(rows)} characters of {file} 2.37 (licence: {licence}), written by scripts/font_outlines.py.
  static let {name.lower()} = Outlines(
    \"\"\"
"""
        + "\\\n".join(lines)
        + """
    \"\"\")
}
"""
    )


if len(sys.argv) != 2:
    raise SystemExit(__doc__)
write(sys.argv[1], "DejaVuSans.ttf", "Regular", LATIN + GREEK + CYRILLIC + SIGNS)
write(sys.argv[1], "DejaVuSans-Bold.ttf", "Bold", LATIN + GREEK + CYRILLIC + [ord(c) for c in "–—‘’“”…−×∗→←≤≥≈⟨⟩"])
