"""What a GGUF says about itself, read in milliseconds, without its weights."""

from longctx.model_info.adapter import Adapter, read_adapter
from longctx.model_info.info import ModelInfo
from longctx.model_info.layers import Layer
from longctx.model_info.longrope import longrope_obstacle
from longctx.model_info.rope_scaling import RopeScaling
from longctx.model_info.tables import format_bytes, format_table
from longctx.model_info.trained_for import TrainedFor

__all__ = [
    "Adapter",
    "Layer",
    "ModelInfo",
    "RopeScaling",
    "TrainedFor",
    "format_bytes",
    "format_table",
    "longrope_obstacle",
    "read_adapter",
]
