"""DAFlow: the network, its warp in every form, and its weights on disk.

Tensors of reference, garment and agnostic picture enter; pictures leave. Parameter names are the
published file format and stay. Each fast form (``recompute``, ``folded_conv``, ``warp_triton``) has
a plain form beside it that is its test.
"""
