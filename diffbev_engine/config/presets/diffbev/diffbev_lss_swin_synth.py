# 合成数据集上的消融实验：Swin-T，随机初始化，较小的图像；论文的形式，各变体只修改 model 的设置
# Ablation on the synthetic dataset: Swin-T, random initialization, smaller images; the published form,
# of which variants change settings under model alone
_base_ = ["./diffbev_published_nuscenes.py"]

model = dict(
    # 步长 16 的特征层：小图像上仍有足够多的特征列 / stage of stride 16: enough columns on small images
    backbone=dict(pretrained=None, out_stage=-2),
    lift=dict(mode="aligned"),
)
data = dict(samples_per_gpu=8, workers_per_gpu=4, image_size=(256, 448))

# 迭代数与学习率 / iterations and learning rate
runner = dict(max_iters=1000)
optimizer = dict(lr=4e-4)
lr_config = dict(warmup_iters=100)

# 保存、评估、日志的间隔 / iterations between checkpoints, evaluations and log lines
checkpoint_config = dict(interval=500, max_keep_ckpts=1)
evaluation = dict(interval=1000)
log_config = dict(interval=50)
