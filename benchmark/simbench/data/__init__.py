"""Datasets: embedded ones first, torchvision's, and arrays, images and texts of one's own."""

# The modules that register the built-in datasets, in the order in which these are listed.
BUILTIN_MODULES = (
    "embedded",
    "synthetic",
    "torchvision_datasets",
    "arrays",
    "images",
    "texts",
    "captions",
)
