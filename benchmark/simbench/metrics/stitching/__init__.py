"""Model stitching: continue one network from the layer of another."""
