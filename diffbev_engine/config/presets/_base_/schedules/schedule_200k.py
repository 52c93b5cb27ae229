# 优化器；归一化层与位置编码不做权重衰减
# Optimizer; no weight decay on norm layers and position tables
optimizer = dict(
    type="AdamW",
    # 学习率（单卡批大小 4）/ learning rate (for batch size 4)
    lr=2e-4,
    betas=(0.9, 0.999),
    weight_decay=0.01,
)
optimizer_config = dict(
    # 梯度范数裁剪；None 表示不裁剪 / gradient norm clipping; None disables it
    grad_clip=dict(max_norm=35.0),
    # 梯度累积的批数 / gradient accumulation, in batches per iteration
    cumulative_iters=1,
)

# 学习率：线性预热后按多项式衰减到 min_lr / learning rate: linear warm-up, then polynomial decay to min_lr
lr_config = dict(
    policy="poly",
    power=1.0,
    min_lr=0.0,
    by_epoch=False,
    # 'linear' 或 None（不预热）/ 'linear', or None for no warm-up
    warmup="linear",
    warmup_iters=1500,
    warmup_ratio=1e-6,
)

# 权重的滑动平均，例如 dict(decay=0.999)：评估用它；None 表示不用
# Moving average of the weights, such as dict(decay=0.999), which is then evaluated; None for none
ema = None

# 训练迭代数 / training iterations
runner = dict(type="IterBasedRunner", max_iters=200 * 1000)
# 每 interval 次迭代保存一次，只保留最新的 max_keep_ckpts 个（latest 与 best_mIoU 总会保留）
# Saved every interval iterations; the newest max_keep_ckpts are kept (latest and best_mIoU always)
checkpoint_config = dict(by_epoch=False, interval=5000, max_keep_ckpts=3)
# 每 interval 次迭代评估一次，比这更长的训练结束时也评估；mask：'pon' 或 'fov'
# Evaluated every interval iterations, and at the end of a longer run; mask: 'pon' or 'fov'
evaluation = dict(interval=20 * 1000, metric="mIoU", mask="pon")
