"""A small cross-encoder with random weights, for none ships as a package: what it prefers means
nothing."""

from __future__ import annotations

from pathlib import Path


def write_cross_encoder(folder: Path, *, n_labels: int = 1, longest: int = 128) -> Path:
    """Write one that reads numbers up to 1,499 and a few words.

    Args:
        folder: where it is written.
        n_labels: scores for each pair; one that ranks has one.
        longest: tokens that it reads.
    """
    # Seconds that every process of the tests would pay while it collects them.
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(1500)), "code", "room"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(words), intermediate_size=32, num_labels=n_labels, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=longest
    ).save_pretrained(folder)
    return folder
