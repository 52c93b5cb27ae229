# Baseline（LSS-Swin，nuScenes，200k 次迭代）。各项设置及说明在下列文件中：
# The baseline (LSS-Swin, nuScenes, 200k iterations). Its settings are explained in these files:
_base_ = [
    "../_base_/models/lss_swin.py",  # 主干、视角变换、解码头 / encoder, lift, head
    "../_base_/datasets/nuscene.py",  # data_root、批大小、图像大小 / data_root, batch size, image size
    "../_base_/schedules/schedule_200k.py",  # 学习率、迭代数、评估 / learning rate, iterations, evaluation
    "../_base_/default_runtime.py",  # 日志、精度、随机种子 / log, precision, seed
]
# 在下面覆盖任意设置：字典逐键合并，只写要改的键，例如
# Override anything below; dicts merge key by key, so write only what changes, such as
# data = dict(samples_per_gpu=2)
