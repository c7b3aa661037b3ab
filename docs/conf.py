"""Sphinx configuration."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

project = "sklearn_jointens"
author = "the sklearn_jointens developers"
copyright = f"2026, {author}"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_jointens"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
}
html_sidebars = {"install": [], "quickstart": []}

autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {
    # scikit-learn generates these, with links into its own pages.
    "exclude-members": ", ".join(
        f"set_{method}_request"
        for method in (
            "fit",
            "partial_fit",
            "predict_log_proba",
            "predict_proba",
            "score",
        )
    ),
}
# The class template lists the members.
numpydoc_show_class_members = False
# Every parameter is documented, under its own name, in its own place.
numpydoc_validation_checks = {"GL03", "PR01", "PR02", "PR03"}
numpydoc_validation_exclude = {
    # Nets have skorch's methods and parameters, which skorch documents.
    r"\.training\.\w*(Mixin|Net)",
    # A named tuple's parameters are its attributes.
    r"\.Vectorization$",
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
