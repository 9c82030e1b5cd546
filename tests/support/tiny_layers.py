"""Tensors of a layer of those tiny models that are no plain decoder, in numpy's order.

Each function takes the model and the layer's index: hybrids have layers of two kinds.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.tiny_model import TinyModel

Shapes = dict[str, tuple[int, ...]]


def _attention(model: TinyModel, *, gated: bool = False) -> Shapes:
    n_q, n_kv = model.n_head * model.head_dim, model.n_head_kv * model.head_dim
    return {
        "attn_q.weight": (n_q * (1 + gated), model.n_embd),
        "attn_k.weight": (n_kv, model.n_embd),
        "attn_v.weight": (n_kv, model.n_embd),
        "attn_output.weight": (model.n_embd, n_q),
    }


def _head_norms(model: TinyModel) -> Shapes:
    return {"attn_q_norm.weight": (model.head_dim,), "attn_k_norm.weight": (model.head_dim,)}


def _feed_forward(model: TinyModel) -> Shapes:
    return {
        "ffn_gate.weight": (model.n_ff, model.n_embd),
        "ffn_up.weight": (model.n_ff, model.n_embd),
        "ffn_down.weight": (model.n_embd, model.n_ff),
    }


def _norms(model: TinyModel) -> Shapes:
    return {"attn_norm.weight": (model.n_embd,), "ffn_norm.weight": (model.n_embd,)}


def _deepseek2(model: TinyModel, _: int) -> Shapes:
    """Multi-head latent attention: one compressed row a token, of which n_rot dims are rotated."""
    key = "deepseek2.attention."
    q_rank, kv_rank = model.metadata[f"{key}q_lora_rank"], model.metadata[f"{key}kv_lora_rank"]
    n_k, n_v = model.metadata[f"{key}key_length_mla"], model.metadata[f"{key}value_length_mla"]
    return {
        **_norms(model),
        **_feed_forward(model),
        "attn_q_a.weight": (q_rank, model.n_embd),
        "attn_q_a_norm.weight": (q_rank,),
        "attn_q_b.weight": (model.n_head * n_k, q_rank),
        "attn_kv_a_mqa.weight": (kv_rank + model.n_rot, model.n_embd),
        "attn_kv_a_norm.weight": (kv_rank,),
        "attn_k_b.weight": (model.n_head, kv_rank, n_k - model.n_rot),
        "attn_v_b.weight": (model.n_head, n_v, kv_rank),
        "attn_output.weight": (model.n_embd, model.n_head * n_v),
    }


def _state_space(architecture: str, model: TinyModel, *names: str) -> tuple[int, ...]:
    return tuple(model.metadata[f"{architecture}.ssm.{name}"] for name in names)


def _mamba(model: TinyModel, _: int) -> Shapes:
    d_conv, d_inner, d_state, dt_rank = _state_space(
        "mamba", model, "conv_kernel", "inner_size", "state_size", "time_step_rank"
    )
    return {
        "attn_norm.weight": (model.n_embd,),
        "ssm_in.weight": (2 * d_inner, model.n_embd),
        "ssm_conv1d.weight": (d_inner, d_conv),
        "ssm_conv1d.bias": (d_inner,),
        "ssm_x.weight": (dt_rank + 2 * d_state, d_inner),
        "ssm_dt.weight": (d_inner, dt_rank),
        "ssm_dt.bias": (d_inner,),
        "ssm_a": (d_inner, d_state),
        "ssm_d": (d_inner,),
        "ssm_out.weight": (model.n_embd, d_inner),
    }


def _mamba2(architecture: str, model: TinyModel) -> Shapes:
    d_conv, d_inner, d_state, n_heads, n_groups = _state_space(
        architecture, model,
        "conv_kernel", "inner_size", "state_size", "time_step_rank", "group_count",
    )  # fmt: skip
    convolved = d_inner + 2 * n_groups * d_state
    return {
        "ssm_in.weight": (d_inner + convolved + n_heads, model.n_embd),
        "ssm_conv1d.weight": (convolved, d_conv),
        "ssm_conv1d.bias": (convolved,),
        "ssm_dt.bias": (n_heads,),
        "ssm_a": (n_heads, 1),
        "ssm_d": (n_heads, 1),
        "ssm_norm.weight": (n_groups, d_inner // n_groups),
        "ssm_out.weight": (model.n_embd, d_inner),
    }


def _granite_hybrid(model: TinyModel, i: int) -> Shapes:
    """A state in some layers, attention in the others; the file lists heads a layer."""
    attends = model.metadata["granitehybrid.attention.head_count_kv"][i]
    mixer = _attention(model) if attends else _mamba2("granitehybrid", model)
    return {**_norms(model), **_feed_forward(model), **mixer}


def _lfm2(model: TinyModel, i: int) -> Shapes:
    """A short convolution in some layers, attention in the others."""
    mixer = {**_attention(model), **_head_norms(model)}
    if not model.metadata["lfm2.attention.head_count_kv"][i]:
        mixer = {
            "shortconv.conv.weight": (model.n_embd, model.metadata["lfm2.shortconv.l_cache"]),
            "shortconv.in_proj.weight": (3 * model.n_embd, model.n_embd),
            "shortconv.out_proj.weight": (model.n_embd, model.n_embd),
        }
    return {**_norms(model), **_feed_forward(model), **mixer}


def _qwen35(model: TinyModel, i: int) -> Shapes:
    """A gated delta net in three layers of four, gated attention with IM-RoPE in the fourth."""
    mixer = {**_attention(model, gated=True), **_head_norms(model)}
    if (i + 1) % 4:
        d_conv, d_state, n_v, n_k = _state_space(
            "qwen35", model, "conv_kernel", "state_size", "time_step_rank", "group_count"
        )
        keys, values = d_state * n_k, d_state * n_v
        mixer = {
            "attn_qkv.weight": (2 * keys + values, model.n_embd),
            "attn_gate.weight": (values, model.n_embd),
            "ssm_conv1d.weight": (2 * keys + values, d_conv),
            "ssm_dt.bias": (n_v,),
            "ssm_a": (n_v,),
            "ssm_beta.weight": (n_v, model.n_embd),
            "ssm_alpha.weight": (n_v, model.n_embd),
            "ssm_norm.weight": (d_state,),
            "ssm_out.weight": (model.n_embd, values),
        }
    norms = {"attn_norm.weight": (model.n_embd,), "post_attention_norm.weight": (model.n_embd,)}
    return {**norms, **_feed_forward(model), **mixer}


def _qwen3vl(model: TinyModel, _: int) -> Shapes:
    return {**_norms(model), **_attention(model), **_head_norms(model), **_feed_forward(model)}


def _olmo2(model: TinyModel, _: int) -> Shapes:
    """Norms behind each half of a layer, and over all heads at once."""
    return {
        **_attention(model),
        **_feed_forward(model),
        "attn_q_norm.weight": (model.n_head * model.head_dim,),
        "attn_k_norm.weight": (model.n_head_kv * model.head_dim,),
        "post_attention_norm.weight": (model.n_embd,),
        "post_ffw_norm.weight": (model.n_embd,),
    }


def _gpt_oss(model: TinyModel, _: int) -> Shapes:
    """Experts with biases, and a sink that each head may attend to."""
    n_experts = model.metadata["gpt-oss.expert_count"]
    n_ff = model.metadata["gpt-oss.expert_feed_forward_length"]
    return {
        **_attention(model),
        "attn_norm.weight": (model.n_embd,),
        "post_attention_norm.weight": (model.n_embd,),
        "attn_output.bias": (model.n_embd,),
        "attn_sinks.weight": (model.n_head,),
        "ffn_gate_inp.weight": (n_experts, model.n_embd),
        "ffn_gate_inp.bias": (n_experts,),
        "ffn_gate_exps.weight": (n_experts, n_ff, model.n_embd),
        "ffn_up_exps.weight": (n_experts, n_ff, model.n_embd),
        "ffn_down_exps.weight": (n_experts, model.n_embd, n_ff),
        "ffn_gate_exps.bias": (n_experts, n_ff),
        "ffn_up_exps.bias": (n_experts, n_ff),
        "ffn_down_exps.bias": (n_experts, model.n_embd),
    }


SPECIAL_LAYERS: dict[str, Callable[[TinyModel, int], Shapes]] = {
    "deepseek2": _deepseek2,
    "gpt-oss": _gpt_oss,
    "granitehybrid": _granite_hybrid,
    "lfm2": _lfm2,
    "mamba": _mamba,
    "olmo2": _olmo2,
    "qwen35": _qwen35,
    "qwen3vl": _qwen3vl,
}
