"""Writes a model of the Llama kind with random weights, half a megabyte, which answers at once and always the same.

It runs in the engine's environment: ``python tiny_model.py FILE``.
"""

import string
import sys

import gguf
import numpy as np

EMBEDDING = 64
FEED_FORWARD = 128
HEADS = 4
LAYERS = 2
CONTEXT = 16384

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
SPECIAL = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
BYTES = [(f"<0x{value:02X}>", BYTE) for value in range(256)]
CHARACTERS = [(c, NORMAL) for c in string.printable if c.isprintable() and c != " "]
WORDS = [(f"\u2581{word}", NORMAL) for word in ("", "the", "stream", "event", "müde", "日本")]
# One token that begins a tool call: a request can prefer it (``logit_bias``), where the weights never would.
TOOL_CALL = [("<tool_call>\n", USER_DEFINED)]
TOKENS = SPECIAL + BYTES + CHARACTERS + WORDS + [("🙂", NORMAL)] + TOOL_CALL

CHAT_TEMPLATE = """
{%- if tools %}<|im_start|>system
Functions:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
A call is
<tool_call>
{"name": <name>, "arguments": <arguments>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def write_model(path: str) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    _add_tokens(writer)
    _add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokens(writer: gguf.GGUFWriter) -> None:
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in TOKENS])
    writer.add_token_types([kind for _, kind in TOKENS])
    writer.add_token_scores([-float(index) for index in range(len(TOKENS))])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_weights(writer: gguf.GGUFWriter) -> None:
    random = np.random.default_rng(7)

    def normal(*shape: int, scale: float = 1.0) -> "np.ndarray":
        return (random.standard_normal(shape) * scale).astype(np.float32)

    output = normal(len(TOKENS), EMBEDDING)
    for index, (_, kind) in enumerate(TOKENS):
        if kind != NORMAL:
            # The answer neither ends by itself nor holds half a character.
            output[index] = 0
    writer.add_tensor("token_embd.weight", normal(len(TOKENS), EMBEDDING))
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(EMBEDDING, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(EMBEDDING, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", normal(EMBEDDING, EMBEDDING, scale=0.2))
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(
                f"blk.{layer}.{name}.weight", normal(FEED_FORWARD, EMBEDDING, scale=0.2)
            )
        writer.add_tensor(
            f"blk.{layer}.ffn_down.weight", normal(EMBEDDING, FEED_FORWARD, scale=0.2)
        )


if __name__ == "__main__":
    write_model(sys.argv[1])
