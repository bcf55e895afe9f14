"""Sphinx's configuration. ``python docs/build.py`` builds the site: English at the top, Russian in the folder ru."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

import fastnn  # noqa: E402

project = "fastnn"
author = copyright = "the fastnn developers"
version = release = fastnn.__version__
language = "en"                                 # build.py sets "ru" for the second build
locale_dirs = ["locales"]
exclude_patterns = ["_build", "_templates", "_static", "locales", "lab_results", "concepts/parts", "tutorial/parts"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "mathml", "api_pages", "concept_pages", "tutorial_figures",
              "translations", "notebooks", "example_pages"]
# In Russian; the extension translations warns if a message of theirs, or the title of any page, has no translation.
translated_pages = ["index", "getting_started", "concepts/*", "tutorial", "lab", "glossary", "installation", "plots",
                    "examples/index", "coming_from", "interchange", "conventions"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True,
                           "exclude-members": "set_fit_request, set_partial_fit_request, set_score_request"}
autodoc_typehints = "none"                      # a docstring says shapes and ranges, which types do not
add_module_names = False
suppress_warnings = ["config.cache"]            # the functions of this file cannot be pickled

html_theme = "furo"
html_title = "fastnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_show_copyright = False
html_copy_source = False
html_context = {"both_languages": tags.has("both")}  # type: ignore[name-defined]  # noqa: F821
