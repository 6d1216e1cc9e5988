"""A plugin that cannot be imported: it asks for a module that nobody has."""

raise ModuleNotFoundError("No module named 'somebody_elses_gpu_kernels'")
