"""A SAM 3 of the published form in small numbers, with made-up weights under which objects come, go and clash."""

import pytest
import torch
from transformers import CLIPTokenizer, Sam3VideoConfig, Sam3VideoModel

SIDE, PATCH = 112, 14
GRID = SIDE // PATCH
# So that few of the queries are detections, and objects come and go within a few frames.
THRESHOLDS = {
    "score_threshold_detection": 0.3,
    "trk_assoc_iou_thresh": 0.1,
    "new_det_thresh": 0.33,
    "det_nms_thresh": 0.7,
    "high_conf_thresh": 0.32,
    "high_iou_thresh": 0.3,
    "recondition_every_nth_frame": 2,
    "hotstart_delay": 4,
    "hotstart_unmatch_thresh": 2,
    "hotstart_dup_thresh": 3,
}


def small_config(**options):
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "pretrain_image_size": SIDE,
            "window_size": 4,
            "global_attn_indexes": [1],
        },
        "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[4 * GRID] * 2, [2 * GRID] * 2, [GRID] * 2],
    }
    text = {
        "model_type": "clip_text_model",
        "vocab_size": 600,
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    small = {"hidden_size": 128, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    detector = {
        "model_type": "sam3",
        "vision_config": vision,
        "text_config": text,
        "geometry_encoder_config": small,
        "detr_encoder_config": small,
        "detr_decoder_config": small | {"num_queries": 6},
        "mask_decoder_config": {"hidden_size": 128, "num_attention_heads": 2},
    }
    decoder = {"hidden_size": 128, "num_attention_heads": 2, "mlp_dim": 64, "iou_head_hidden_dim": 32}
    prompts = {"hidden_size": 128, "image_size": SIDE, "patch_size": PATCH, "mask_input_channels": 4}
    tracker = {
        "model_type": "sam3_tracker_video",
        "vision_config": vision,
        "prompt_encoder_config": prompts,
        "mask_decoder_config": decoder,
        "image_size": SIDE,
        "num_maskmem": 3,
        "max_object_pointers_in_encoder": 4,
        "max_cond_frame_num": 2,
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 64,
        "memory_attention_rope_feat_sizes": [GRID, GRID],
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_num_layers": 1,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 64,
    }
    return Sam3VideoConfig(
        detector_config=detector,
        tracker_config=tracker,
        low_res_mask_size=4 * GRID,
        **(THRESHOLDS | options),
    )


def small_tokenizer():
    """CLIP's tokenizer with a word for each letter."""
    letters = [chr(c) for c in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    return CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[])


@pytest.fixture(scope="session")
def folder(tmp_path_factory, filled):
    """A folder as the hub has it."""
    tokenizer = small_tokenizer()
    config = small_config()
    # Some buffers are made up too.
    torch.manual_seed(0)
    model = Sam3VideoModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(filled(name, tuple(parameter.shape)))
    path = tmp_path_factory.mktemp("weights") / "sam3"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
