"""`save` and `load`: an ensemble in one file that holds numbers and text, no code.

The file is in the safetensors format: weights as tensors, everything else as one JSON
text in the file's metadata, and a checksum of both. Loading builds only objects that
are named here, and takes no size on trust: it is compared with the tensors that are
there before anything of that size is made. What it does not know, it refuses.
"""

from sklearn_jointens._persistence._read import load
from sklearn_jointens._persistence._write import save

__all__ = ["load", "save"]
