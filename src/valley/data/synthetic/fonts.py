"""Fonts of Debian packages, split by family into a training and a held-out part."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

ROOT = Path("/usr/share/fonts")

TRAIN_PACKAGES = [
    "fonts-dejavu-core",
    "fonts-lato",
    "fonts-cantarell",
    "fonts-clear-sans",
    "fonts-crosextra-caladea",
    "fonts-crosextra-carlito",
    "fonts-fantasque-sans",
    "fonts-hack",
    "fonts-inconsolata",
    "fonts-inter",
    "fonts-jetbrains-mono",
    "fonts-junction",
    "fonts-linuxlibertine",
    "fonts-oldstandard",
    "fonts-paratype",
    "fonts-play",
    "fonts-quicksand",
    "fonts-roboto-unhinted",
    "fonts-roboto-slab",
    "fonts-sora",
    "fonts-yanone-kaffeesatz",
    "fonts-b612",
    "fonts-allerta",
    "fonts-arapey",
    "fonts-averia-sans-gwf",
    "fonts-comfortaa",
    "fonts-courier-prime",
    "fonts-dosis",
    "fonts-goudybookletter",
    "fonts-jura",
    "fonts-league-spartan",
    "fonts-league-mono",
    "fonts-mononoki",
    "fonts-mplus",
    "fonts-opendyslexic",
    "fonts-prociono",
    "fonts-quattrocento",
    "fonts-sil-charis",
    "fonts-sil-andika",
    "fonts-oxygen",
    "fonts-cardo",
    "fonts-fanwood",
    "fonts-croscore",
    "fonts-national-park",
    "fonts-monoid",
    "fonts-klee",
    "fonts-stix",
    "fonts-eurofurence",
    "fonts-anonymous-pro",
]
"""Debian packages of the fonts that training draws with (OFL, Apache-2.0, Bitstream Vera, ...)."""

HELD_OUT_PACKAGES = [
    "fonts-liberation",
    "fonts-open-sans",
    "fonts-cabin",
    "fonts-karla",
    "fonts-ebgaramond",
    "fonts-comic-neue",
    "fonts-go",
    "fonts-vollkorn",
    "fonts-manrope",
    "fonts-firacode",
    "fonts-tuffy",
    "fonts-agave",
    "fonts-lindenhill",
    "fonts-millimetre",
]
"""Debian packages of the fonts that only measuring draws with."""

_TRAIN = {
    "dejavu-sans": ["truetype/dejavu/DejaVuSans.ttf", "truetype/dejavu/DejaVuSans-Bold.ttf"],
    "dejavu-serif": ["truetype/dejavu/DejaVuSerif.ttf", "truetype/dejavu/DejaVuSerif-Bold.ttf"],
    "dejavu-mono": ["truetype/dejavu/DejaVuSansMono.ttf"],
    "lato": ["truetype/lato/Lato-Regular.ttf", "truetype/lato/Lato-B*[dk].ttf"],
    "cantarell": ["opentype/cantarell/Cantarell-Regular.otf", "opentype/cantarell/*-Bold.otf"],
    "clear-sans": ["truetype/clear-sans/*-Regular.ttf", "truetype/clear-sans/*-Bold.ttf"],
    "caladea": ["truetype/crosextra/Caladea-Regular.ttf", "truetype/crosextra/Caladea-Bold.ttf"],
    "carlito": ["truetype/crosextra/Carlito-Regular.ttf", "truetype/crosextra/Carlito-Bold.ttf"],
    "fantasque": ["truetype/fantasque-sans/Normal/TTF/*-Regular.ttf"],
    "hack": ["truetype/hack/Hack-Regular.ttf", "truetype/hack/Hack-Bold.ttf"],
    "inconsolata": ["truetype/inconsolata/*"],
    "inter": ["opentype/inter/Inter-Regular.otf", "opentype/inter/Inter-B*[dk].otf"],
    "jetbrains": ["truetype/jetbrains-mono/*Mono-Regular.ttf"],
    "junction": ["opentype/junction/*"],
    "libertine": [
        "opentype/linux-libertine/LinLibertine_R.otf",
        "opentype/linux-libertine/LinLibertine_RB.otf",
    ],
    "biolinum": [
        "opentype/linux-libertine/LinBiolinum_R.otf",
        "opentype/linux-libertine/LinBiolinum_RB.otf",
    ],
    "oldstandard": ["truetype/fonts-oldstandard/*Regular*", "truetype/fonts-oldstandard/*Bold*"],
    "pt-sans": ["truetype/paratype/PTS55F.ttf", "truetype/paratype/PTS75F.ttf"],
    "pt-serif": ["truetype/paratype/PTF55F.ttf", "truetype/paratype/PTF75F.ttf"],
    "pt-mono": ["truetype/paratype/PTM55F*.ttf"],
    "play": ["truetype/play/*"],
    "quicksand": [
        "truetype/quicksand/Quicksand-Regular.ttf",
        "truetype/quicksand/Quicksand-Bold.ttf",
    ],
    "roboto": [
        "truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf",
        "truetype/roboto/unhinted/RobotoTTF/Roboto-B*[dk].ttf",
        "truetype/roboto/unhinted/RobotoTTF/Roboto-Italic.ttf",
    ],
    "roboto-condensed": [
        "truetype/roboto/unhinted/RobotoCondensed-Regular.ttf",
        "truetype/roboto/unhinted/RobotoCondensed-Bold.ttf",
    ],
    "roboto-slab": ["opentype/roboto/slab/*Regular*", "opentype/roboto/slab/*Bold*"],
    "sora": ["opentype/sora/*-Regular*", "opentype/sora/*-Bold*"],
    "yanone": ["opentype/yanone-kaffeesatz/*Regular*", "opentype/yanone-kaffeesatz/*Bold*"],
    "b612": ["opentype/b612/B612-Regular.otf", "opentype/b612/B612-Bold.otf"],
    "b612-mono": ["opentype/b612/B612Mono-Regular.otf"],
    "allerta": ["opentype/allerta/*"],
    "arapey": ["opentype/arapey/*Regular*"],
    "averia": ["truetype/averia-gwf/*Regular*", "truetype/averia-gwf/*Bold.ttf"],
    "comfortaa": ["truetype/comfortaa/*Regular*", "truetype/comfortaa/*Bold*"],
    "courier-prime": ["opentype/courier-prime/*Prime.otf", "opentype/courier-prime/*Sans.otf"],
    "dosis": ["opentype/dosis/*Medium*", "opentype/dosis/*-Bold*"],
    "goudy": ["opentype/sortsmill/*"],
    "jura": ["opentype/jura/*Medium*", "opentype/jura/*Bold*"],
    "league-spartan": ["opentype/league-spartan/*-Regular*", "opentype/league-spartan/*-Bold*"],
    "league-mono": ["opentype/league-mono/LeagueMono-Regular.otf"],
    "mononoki": ["truetype/mononoki/*Regular*", "truetype/mononoki/*Bold.ttf"],
    "mplus": ["opentype/mplus/Mplus1-Regular.otf", "opentype/mplus/Mplus1-Bold.otf"],
    "opendyslexic": ["opentype/opendyslexic/*-Regular*"],
    "prociono": ["opentype/fonts-prociono/*"],
    "quattrocento": ["opentype/quattrocento/*"],
    "charis": ["truetype/charis/*Regular*", "truetype/charis/*-Bold.ttf"],
    "andika": ["truetype/andika/*Regular*", "truetype/andika/*-Bold.ttf"],
    "oxygen": ["truetype/oxygen/*Sans.ttf", "truetype/oxygen/*Bold.ttf"],
    "cardo": ["truetype/cardo/Cardo1*", "truetype/cardo/Cardob*"],
    "fanwood": ["truetype/fanwood/Fanwood.otf", "truetype/fanwood/FanwoodText.otf"],
    "arimo": ["truetype/croscore/Arimo-Regular.ttf", "truetype/croscore/Arimo-Bold.ttf"],
    "tinos": ["truetype/croscore/Tinos-Regular.ttf", "truetype/croscore/Tinos-Bold.ttf"],
    "cousine": ["truetype/croscore/Cousine-Regular.ttf"],
    "national-park": ["opentype/national-park/*Regular*", "opentype/national-park/*Heavy*"],
    "monoid": ["truetype/monoid/Monoid-Regular.ttf"],
    "klee": ["truetype/klee/*SemiBold*"],
    "stix": ["opentype/stix/STIXGeneral-Regular.otf", "opentype/stix/STIXGeneral-Bold.otf"],
    "eurofurence": ["truetype/eurofurence/eurof55.ttf", "truetype/eurofurence/eurof75.ttf"],
    "anonymous": [
        "truetype/anonymous-pro/Anonymous Pro.ttf",
        "truetype/anonymous-pro/Anonymous Pro B.ttf",
    ],
}

_HELD_OUT = {
    "liberation-sans": [
        "truetype/liberation/LiberationSans-Regular.ttf",
        "truetype/liberation/LiberationSans-Bold.ttf",
    ],
    "liberation-serif": ["truetype/liberation/LiberationSerif-Regular.ttf"],
    "liberation-mono": ["truetype/liberation/LiberationMono-Regular.ttf"],
    "open-sans": [
        "truetype/open-sans/OpenSans-Regular.ttf",
        "truetype/open-sans/OpenSans-Bold.ttf",
    ],
    "cabin": ["opentype/cabin/*-Regular*", "opentype/cabin/*-Bold.otf"],
    "karla": ["truetype/karla/*-Regular.otf", "truetype/karla/*-Bold.otf"],
    "ebgaramond": ["opentype/ebgaramond/*12-Regular*"],
    "comic-neue": ["opentype/comic-neue/*-Regular*", "opentype/comic-neue/*-Bold.otf"],
    "go": ["fonts-go/Go-Regular.ttf", "fonts-go/Go-Bold.ttf", "fonts-go/Go-Mono.ttf"],
    "vollkorn": ["truetype/vollkorn/*-Regular*", "truetype/vollkorn/*-Bold.ttf"],
    "manrope": ["truetype/manrope/*-Regular*", "truetype/manrope/*-Bold*"],
    "firacode": ["truetype/firacode/*-Regular*"],
    "tuffy": ["truetype/tuffy/Tuffy.ttf", "truetype/tuffy/Tuffy_Bold.ttf"],
    "agave": ["truetype/agave/agave-r*"],
    "lindenhill": ["truetype/lindenhill/LindenHill.otf"],
    "millimetre": ["opentype/millimetre/millimetreA 01.otf", "opentype/millimetre/*Bold*"],
}


@cache
def families(held_out: bool = False) -> tuple[tuple[str, ...], ...]:
    """Font files by family, sorted by family name; families that are not installed are left out."""
    table = _HELD_OUT if held_out else _TRAIN
    found = []
    for name in sorted(table):
        files = sorted({str(p) for glob in table[name] for p in ROOT.glob(glob) if p.is_file()})
        if files:
            found.append(tuple(files))
    if len(found) < len(table):
        missing = [n for n in sorted(table) if not any(any(ROOT.glob(g)) for g in table[n])]
        raise FileNotFoundError(f"fonts not installed: {', '.join(missing)}")
    return tuple(found)


@lru_cache(maxsize=4096)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels, without shaping: one glyph for each character."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def pick_font(rng: np.random.Generator, held_out: bool = False) -> str:
    """The path of a font: every family equally likely, then every file of it."""
    files = families(held_out)[int(rng.integers(len(families(held_out))))]
    return files[int(rng.integers(len(files)))]
