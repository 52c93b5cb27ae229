# CPU 演示：与 baseline/lss_swin_demo.py 相同的小网络，加上 DiffBEV 的各部分（推荐的形式）
# CPU demo: the small network of baseline/lss_swin_demo.py with all parts of DiffBEV, as recommended
_base_ = ["../baseline/lss_swin_demo.py"]

model = dict(
    depth_loss=dict(form="bce_mean", weight=10.0),
    diffusion=dict(
        target="layout",
        condition="O",
        calibrated=True,
        self_condition=True,
        widths=(16, 32, 32),
        blocks=1,
        groups=8,
        fusion=dict(type="concat"),
    ),
)
data = dict(load_depth=True)
