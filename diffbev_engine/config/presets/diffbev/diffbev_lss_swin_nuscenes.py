# DiffBEV（LSS-Swin，nuScenes，200k 次迭代）：与基线相同，另加深度监督、扩散与融合
# DiffBEV (LSS-Swin, nuScenes, 200k iterations): the baseline plus depth supervision, diffusion, fusion
_base_ = [
    "../_base_/datasets/nuscene.py",  # data_root、批大小、图像大小 / data_root, batch size, image size
    "../_base_/models/diffbev.py",  # 基线与扩散模块 / the baseline and the diffusion module
    "../_base_/schedules/schedule_200k.py",  # 学习率、迭代数、评估 / learning rate, iterations, evaluation
    "../_base_/default_runtime.py",  # 日志、精度、随机种子 / log, precision, seed
]
# 在下面覆盖任意设置，例如 / override anything below, such as
# model = dict(diffusion=dict(condition="O+S", steps=5))
