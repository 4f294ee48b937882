"""MoMask: masked modelling of motion tokens."""
