"""Networks: architectures, training, loading, and the `Model` through which everything else sees them."""
