"""Warns of a translation that was lost, on the pages that ``translated_pages`` of conf.py declares translated.

When the English of a paragraph changes, its translation no longer belongs to it, and Sphinx shows the English. The
warning, an error in docs/build.py, also comes for a translation that ``sphinx-intl update`` marked as fuzzy, and for
one that has other roles, formulas, code or links than the English. The title of every page is translated, as it stands
in the table of contents beside all pages. What is the same in both languages, such as a name
or a source, stands in the .po file as its own translation; what consists of formulas and code alone need not.
"""

import functools
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.i18n import docname_to_domain
from sphinx.util.nodes import extract_messages

logger = logging.getLogger(__name__)

KEPT = re.compile(r"\{[\w-]+\}`[^`]+`|\$[^$]+\$|``.+?``|`[^`]+`|\]\([^)]+\)")


@functools.cache
def catalog(path: Path) -> Catalog:
    """What a .po file holds."""
    with path.open("rb") as file:
        return read_po(file)


def kept(text: str) -> set[str]:
    """The roles, formulas, code and link targets of a message."""
    return {" ".join(found.split()) for found in KEPT.findall(text)}


def lost(message: str, translations: Catalog) -> str:
    """What is wrong with the translation of a message; "" if nothing is."""
    if not re.search("[A-Za-z]{2}", KEPT.sub("", message)):
        return ""
    found = translations.get(message)
    if found is None or not found.string:
        return "no translation"
    if found.fuzzy:
        return "only a fuzzy translation"
    differing = kept(message) ^ kept(found.string)
    return f"in one language only: {', '.join(sorted(differing))}" if differing else ""


class Lost(SphinxTransform):
    """Looks at the messages of a page before ``sphinx.transforms.i18n.Locale``, at 20, puts the translations in."""

    default_priority = 19

    def apply(self, **kwargs: Any) -> None:
        name, language = self.env.docname, self.config.language
        if language == "en":
            return
        whole = any(fnmatch(name, page) for page in self.config.translated_pages)
        domain = docname_to_domain(name, self.config.gettext_compact)
        path = Path(self.app.srcdir) / "locales" / language / "LC_MESSAGES" / f"{domain}.po"
        translations = catalog(path) if path.exists() else Catalog()
        messages = list(extract_messages(self.document))
        for node, message in messages if whole else messages[:1]:           # the first one is the title
            if isinstance(node, nodes.math_block):
                wrong = translations.get(message) and "a formula by itself cannot be translated, see mathml.py"
            else:
                wrong = lost(message, translations)
            if wrong:
                logger.warning("%s: %s: %.60s", language, wrong, message, location=node)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("translated_pages", [], "env")
    app.add_transform(Lost)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
