# 模型：Swin-T 主干网络 + LSS 视角变换 + BEV 解码头
# Model: Swin-T backbone, lift-splat view transform, BEV head
model = dict(
    backbone=dict(
        # timm 模型名 / timm model name
        name="swin_tiny_patch4_window7_224",
        # 'imagenet'：ImageNet 权重；文件路径：本地权重文件；None：随机初始化
        # 'imagenet': ImageNet weights; a path: weights in a file; None: random initialization
        pretrained="imagenet",
        # 变换到 BEV 的特征层，-1 为最深层 / feature stage that is lifted; -1 is the deepest
        out_stage=-1,
    ),
    lift=dict(
        # 'upstream'：原版几何；'aligned'：像素中心对齐、0.5 米深度格
        # 'upstream': the published geometry; 'aligned': true pixel centres, half-metre depth bins
        mode="upstream",
        # 每个点的特征通道数 / feature channels that are splatted
        channels=64,
        # 丢弃高于或低于光轴这么多米的点 / drops points this many metres above or below the optical axis
        height_limit=10.0,
        # 对照组：有 LiDAR 点的特征直接投射到真实深度，评估时也如此 / a control: LiDAR depth instead of the
        # predicted one where there is a point, in evaluation too
        oracle=False,
    ),
    # 解码头之前的两个残差块；与 DiffBEV 比较时两者必须一致
    # two residual blocks before the head; a comparison with DiffBEV is fair only if both have them
    bev_encoder=True,
    # 深度监督与扩散模块：基线都不用（见 diffbev.py）
    # depth supervision and diffusion module: the baseline has neither (see diffbev.py)
    depth_loss=None,
    diffusion=None,
    head=dict(
        # 两级的内部宽度，输出为其四倍 / inner width of the two stages, their output is four times wider
        planes=(128, 64),
        # 每级的瓶颈块数 / bottlenecks per stage
        blocks=4,
        # GroupNorm 的组数 / groups of each GroupNorm
        groups=16,
    ),
    loss=dict(
        # 不可见单元先验项的权重 / weight of the prior term on invisible cells
        invisible_weight=0.001,
        # 类别先验默认为 PON 训练集的统计值，可用 priors=(14 个数) 覆盖
        # class priors default to those of the PON training split; override with priors=(14 numbers)
    ),
)
