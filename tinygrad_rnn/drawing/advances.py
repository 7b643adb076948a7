"""How wide characters are: measured in faces that are at least as wide as those we ask for."""

import unicodedata

_ALPHABETS = {
    "SPACE": "32 41 46 84 64 96 90 28 40 40 50 84 32 42 32 34 64 64 64 64 64 64 64 64 64 64 34 34 "
    "84 84 84 54 100 73 76 77 83 75 70 82 88 40 45 75 67 103 88 86 68 86 78 73 69 85 74 103 73 74 "
    "70 40 34 40 84 50 50 62 65 57 65 62 38 65 65 32 32 61 32 98 65 64 65 65 48 53 41 65 60 86 60 "
    "60 53 64 34 64 84",
    "GREEK CAPITAL LETTER ALPHA": "73 74 70 73 73 70 88 82 40 75 73 103 88 71 82 88 68 0 71 67 73 "
    "82 73 88 83 40 73 68 55 64 40 61 68 64 60 62 55 55 64 62 40 66 64 65 61 56 62 66 64 59 69 61 "
    "61 71 61 79 84",
    "CYRILLIC CAPITAL LETTER A": "76 74 74 67 82 73 113 65 88 88 78 84 103 88 82 88 68 77 67 73 87 "
    "72 88 78 115 115 84 99 69 77 120 81 62 62 59 53 70 62 114 55 67 67 63 64 83 67 62 67 65 57 95 "
    "60 86 60 70 67 95 101 71 82 59 57 89 67",
    "HEBREW LETTER ALEF": "67 58 42 55 66 28 35 66 65 23 54 53 57 67 68 28 41 65 63 64 63 54 60 71 "
    "57 71 66",
    "ARABIC LETTER HAMZA": "48 31 31 52 31 84 31 99 54 99 99 65 65 65 53 53 56 56 128 128 123 123 "
    "95 95 60 60 0 0 0 0 0 30 104 84 85 76 67 77 54 52 84 84",
}
"""From one letter on, in the order of Unicode; 0 where there is none."""
_SIGNS = {
    "–—‘’“”…′·×÷±°²³€§": "50 100 36 34 56 56 100 29 32 84 84 84 50 41 41 64 50",
    "µßæøœłđıÆØŒŁ": "65 67 100 62 103 33 65 32 102 86 116 67",
    "∂→∑−√∞≈≠≤≥⊕⊙\ufffd": "52 93 92 84 93 93 84 84 84 84 85 84 103",
    "\u067e\u0686\u0698\u06a9\u06af\u06cc": "99 65 56 90 90 84",  # Persian
}
ADVANCES = {
    **{
        chr(ord(unicodedata.lookup(first)) + i): int(advance) / 100
        for first, advances in _ALPHABETS.items()
        for i, advance in enumerate(advances.split())
        if advance != "0"
    },
    **{
        sign: int(advance) / 100
        for signs, advances in _SIGNS.items()
        for sign, advance in zip(signs, advances.split(), strict=True)
    },
}
"""The advance of a character and the most that kerning adds to it, in parts of the font size: the
largest of DejaVu Serif, DejaVu Sans and STIX, upright and italic, joined or not. A browser
takes DejaVu on Linux when it has none of the faces we ask for; it is as wide as any of them."""
