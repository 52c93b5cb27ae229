# CPU 演示：与 baseline/lss_swin_demo.py 相同的小网络，加上 DiffBEV 的各部分（论文的形式）
# CPU demo: the small network of baseline/lss_swin_demo.py with all parts of DiffBEV, as published
_base_ = ["../baseline/lss_swin_demo.py"]

model = dict(
    depth_loss=dict(form="bce_mean", weight=10.0),
    diffusion=dict(widths=(16, 32, 32), blocks=1, groups=8, fusion=dict(key_stride=8)),
)
data = dict(load_depth=True)
