# 论文形式的 DiffBEV：以 BEV 特征本身为去噪对象，交叉注意力融合
# 合成数据上（1,200 次迭代，三个随机种子）：mIoU 比只用深度监督高 0.5；增加采样步数没有帮助，
# 因为即使去噪完美，得到的也只是网络已有的特征；推荐的形式见 diffbev_lss_swin_nuscenes.py
# DiffBEV as published: the BEV feature itself is what is denoised, fused by cross-attention
# On the synthetic world (1,200 iterations, three seeds) mIoU is 0.5 above depth supervision alone, and more
# steps do not help: even a perfect denoiser would return a feature that the network already has.
# diffbev_lss_swin_nuscenes.py is what is recommended
_base_ = ["./diffbev_lss_swin_nuscenes.py"]

model = dict(
    diffusion=dict(
        target="feature",
        condition="S",
        calibrated=False,
        self_condition=False,
        steps=3,
        fusion=dict(type="cross_attn"),
    ),
)
