# CPU 演示：几分钟内运行完整流程；结果不能与论文比较
# CPU demo: the whole runbook in minutes; scores are not comparable with published results
_base_ = [
    "../_base_/models/lss_swin.py",
    "../_base_/datasets/nuscene.py",
    "../_base_/schedules/schedule_200k.py",
    "../_base_/default_runtime.py",
]

model = dict(
    # 随机初始化的小型 CNN，步长 16 的特征层 / small CNN, random initialization, stage of stride 16
    backbone=dict(name="regnetx_002", pretrained=None, out_stage=-2),
    lift=dict(mode="aligned", channels=16),
    bev_encoder=True,
    head=dict(planes=(16, 8), blocks=1, groups=8),
)

# 批大小、加载进程数、图像大小 / batch size, loader processes, image size
data = dict(samples_per_gpu=2, workers_per_gpu=2, image_size=(192, 320))

# 迭代数与学习率 / iterations and learning rate
runner = dict(max_iters=300)
optimizer = dict(lr=2e-3)
lr_config = dict(warmup_iters=30)

# 保存、评估、日志的间隔 / iterations between checkpoints, evaluations and log lines
checkpoint_config = dict(interval=100)
evaluation = dict(interval=300)
log_config = dict(interval=10)

# CPU 使用单精度 / single precision on the CPU
precision = "fp32"
