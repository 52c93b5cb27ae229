"""Settings of MMSegmentation and other frameworks: what they are called here, or why they are not needed.

Keys are matched by their dotted path; the first pattern that fits wins.
"""

from fnmatch import fnmatchcase

_EPOCHS = (
    "Training is counted in iterations: runner = dict(max_iters=N), where N is epochs times training "
    "images divided by the batch size"
)
_RUN = "Continue a run with --resume on the command line"
_RUN_DIR = "The run directory is given by --work-dir"
_IMAGES = (
    "Images are resized to data.image_size=(height, width) and normalized as the backbone needs it; "
    "data.photometric turns augmentation on"
)
_LOADER = "The loader is set by data = dict(samples_per_gpu=N, workers_per_gpu=N)"
_FIXED = "There is only one, so remove it"

KEYS: tuple[tuple[str, str], ...] = (
    # The run
    ("work_dir output_dir out_dir save_dir exp_dir checkpoint_config.out_dir", _RUN_DIR),
    ("resume_from resume auto_resume resume_path", _RUN),
    ("init_checkpoint", f"Weights to start from are load_from='PATH'. {_RUN}"),
    ("gpu_ids gpus num_gpus device devices", "GPUs are chosen with --gpu-ids on the command line"),
    (
        "dist_params.backend dist_params.port launcher env_cfg find_unused_parameters mp_start_method "
        "opencv_num_threads strategy",
        "torchrun starts and connects the processes. Remove it",
    ),
    ("cudnn_benchmark randomness", "Reproducibility is set by seed and deterministic. Remove it"),
    ("log_level log_processor visualizer vis_backends log_dir", "Logging is built in. Remove it"),
    (
        "custom_imports plugins plugin plugin_dir default_scope",
        "No code is loaded by a configuration. Remove it",
    ),
    (
        "workflow custom_hooks default_hooks",
        "Intervals are set by checkpoint_config, evaluation and log_config. Remove it",
    ),
    ("log_interval print_freq", "Write log_config.interval"),
    ("eval_interval val_interval val_freq", "Write evaluation.interval"),
    ("save_interval checkpoint_interval save_freq", "Write checkpoint_config.interval"),
    ("evaluation.save_best evaluation.rule", "best_mIoU.pth is always saved. Remove it"),
    (
        "checkpoint_config.save_best checkpoint_config.save_last",
        "latest.pth and best_mIoU.pth are always saved. Remove it",
    ),
    # Length, precision, optimizer
    (
        "fp16 amp use_amp mixed_precision bf16 autocast",
        "Mixed precision is set by precision = 'bf16' or 'fp16'",
    ),
    ("optimizer_config.loss_scale optimizer.loss_scale", "Loss scaling comes with precision = 'fp16'"),
    ("total_epochs max_epochs epochs num_epochs n_epochs runner.*epochs", _EPOCHS),
    ("max_iters total_iters num_iters iterations max_steps total_steps", "Write runner.max_iters"),
    ("train_cfg", "Write runner.max_iters and evaluation.interval"),
    ("val_cfg test_cfg val_evaluator test_evaluator", "Evaluation is set by evaluation = dict(interval=N)"),
    (
        "optim_wrapper",
        "Write optimizer = dict(lr=...), optimizer_config = dict(grad_clip=dict(max_norm=...)) and precision",
    ),
    ("param_scheduler scheduler lr_scheduler", "The schedule is lr_config = dict(policy='poly', ...)"),
    ("warmup_iters warmup warmup_ratio min_lr", "Write it in lr_config = dict(...)"),
    ("lr learning_rate base_lr optimizer.learning_rate optimizer.base_lr", "Write optimizer.lr"),
    ("weight_decay wd betas", "Write optimizer.weight_decay and optimizer.betas"),
    (
        "optimizer.paramwise_cfg paramwise_cfg",
        "Norm layers and position tables are never decayed, and all parts share one learning rate. Remove it",
    ),
    ("optimizer.momentum optimizer.nesterov", "AdamW takes betas=(0.9, 0.999) instead"),
    ("grad_clip clip_grad max_norm optimizer.grad_clip", "Write optimizer_config.grad_clip"),
    (
        "accumulate_grad_batches gradient_accumulation_steps accumulative_counts "
        "optimizer_config.update_interval",
        "Write optimizer_config.cumulative_iters",
    ),
    ("optimizer_config.type", "Gradient accumulation is set by optimizer_config.cumulative_iters. Remove it"),
    # Data
    ("train_dataloader val_dataloader test_dataloader data.*_dataloader dataloader", _LOADER),
    (
        "batch_size batchsize bs train_batch_size data.batch_size data.train_batch_size",
        "Write data.samples_per_gpu",
    ),
    ("num_workers workers data.num_workers data.workers", "Write data.workers_per_gpu"),
    ("*pipeline img_norm_cfg data.img_norm_cfg data_preprocessor model.data_preprocessor", _IMAGES),
    ("img_scale crop_size img_size input_size data.img_scale data.crop_size data.img_size", _IMAGES),
    (
        "data.train data.val data.test",
        "The data is found by data_root; image size, cameras and mask are settings of data",
    ),
    (
        "dataset_type data.type classes palette data.classes num_classes model.num_classes "
        "model.head.num_classes",
        "nuScenes with its 14 classes is built in. Remove it",
    ),
    ("data.data_root data.root data.img_dir dataroot dataset_root root", "Write data_root at the top level"),
    # Network
    ("pretrained weights model.pretrained model.init_cfg", "Write model.backbone.pretrained"),
    ("norm_cfg act_cfg conv_cfg model.norm_cfg", "Norms are part of each network. Remove it"),
    ("model.type", "There is one network, and model.diffusion makes it DiffBEV. Remove it"),
    ("model.decode_head model.bbox_head model.seg_head", "The head is model.head, and its loss model.loss"),
    ("model.auxiliary_head model.aux_head", "There is no auxiliary head. Remove it"),
    (
        "model.neck model.img_neck",
        "There is no neck: model.backbone.out_stage selects the feature stage that is lifted. Remove it",
    ),
    ("model.img_backbone", "Write model.backbone"),
    ("model.img_view_transformer model.view_transformer model.transformer", "Write model.lift"),
    ("model.train_cfg model.test_cfg", "The network has no such settings. Remove it"),
    (
        "model.backbone.type model.backbone.arch",
        "The network is model.backbone.name, the name of a timm model",
    ),
    ("model.backbone.out_indices", "Write model.backbone.out_stage, one stage"),
    ("model.backbone.init_cfg model.backbone.checkpoint", "Write model.backbone.pretrained='PATH'"),
    ("model.backbone.frozen_stages model.backbone.with_cp", "This is not supported. Remove it"),
    ("model.head.type model.lift.type model.loss.type", _FIXED),
    ("model.depth_loss.type", "Write model.depth_loss.form"),
)

GROUPS: tuple[tuple[str, str], ...] = (
    ("optimizer.*", "AdamW takes lr, betas and weight_decay only"),
    ("lr_config.*", "lr_config takes policy='poly', power, min_lr and a linear warm-up"),
    ("evaluation.*", "evaluation takes interval, metric='mIoU', mask and samples_per_gpu"),
    ("checkpoint_config.*", "checkpoint_config takes interval and max_keep_ckpts"),
    ("model.backbone.*", "It is determined by the timm model in model.backbone.name. Remove it"),
)
"""For any other unknown key of a group, if no known key has a similar name."""

VALUES: tuple[tuple[str, str], ...] = (
    ("runner.type", _EPOCHS),
    ("optimizer.type", "AdamW is the only optimizer; lr=2e-4 suits a batch of 4"),
    ("lr_config.policy", "Polynomial decay is the only schedule; power=1.0 makes it linear"),
    ("*.by_epoch", "Intervals are counted in iterations: by_epoch=False, interval=N"),
    ("evaluation.metric", "Write one name, not a list: metric='mIoU'"),
)


def advice_for_key(key: str) -> str:
    """What to write instead of the unknown setting ``key`` (dotted); empty if its meaning is not known."""
    return _first(KEYS, key.lower())


def advice_for_group(key: str) -> str:
    """What the group of the unknown setting ``key`` takes; empty for groups that need no advice."""
    return _first(GROUPS, key.lower())


def advice_for_value(key: str) -> str:
    """What to do about a wrong value of ``key`` that another framework takes; empty if none is known."""
    return _first(VALUES, key)


def _first(table: tuple[tuple[str, str], ...], key: str) -> str:
    return next((advice for names, advice in table if _matches(key, names)), "")


def _matches(key: str, names: str) -> bool:
    return any(fnmatchcase(key, name) for name in names.split())
