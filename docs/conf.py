"""Sphinx configuration."""

import tomllib
import warnings
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

ROOT = Path(__file__).parents[1]

project = "sklearn_jointens"
author = "the sklearn_jointens developers"
copyright = f"2026, {author}"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
default_role = "literal"

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_jointens"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
}
html_sidebars = {"index": [], "install": [], "quickstart": []}

# -- the API's pages -----------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {
    # scikit-learn generates these, with links into its own pages.
    "exclude-members": ", ".join(
        f"set_{method}_request"
        for method in (
            "fit",
            "partial_fit",
            "predict",
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
    r"\.(Folds|JointTerms|Vectorization)$",
}
# Types are links where they are these words, and no others.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {name: name for name in DEFAULT_LINKS} | {
    "ndarray": "numpy.ndarray",
    "Tensor": "torch.Tensor",
}

# -- links to other projects ---------------------------------------------------------

# From the net where there is one; else from a list of the names that are used here.
_POSITIONS = {
    "sklearn": "https://scikit-learn.org/stable",
    "skorch": "https://skorch.readthedocs.io/en/stable",
    "torch": "https://docs.pytorch.org/docs/stable",
    "numpy": "https://numpy.org/doc/stable",
    "pandas": "https://pandas.pydata.org/docs",
    "matplotlib": "https://matplotlib.org/stable",
}
intersphinx_mapping = {
    name: (address, (None, f"_inventories/{name}.txt"))
    for name, address in _POSITIONS.items()
}
intersphinx_timeout = 5
# A reference that leads nowhere is an error.
nitpicky = True

# -- the gallery ---------------------------------------------------------------------

# A warning that a reader would see ends the build.
warnings.simplefilter("error", append=True)
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "subsection_order": [
        *(f"../examples/gallery/{name}" for name in ("start", "dial", "inside")),
        "*",
    ],
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sklearn_jointens",),
    "backreferences_dir": "gallery/used",
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
