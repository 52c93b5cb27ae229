# 模型：基线 + 深度监督 + 条件扩散 + 融合
# Model: the baseline plus depth supervision, conditional diffusion and fusion
_base_ = ["./lss_swin.py"]

model = dict(
    depth_loss=dict(
        # 'bce_mean'：逐深度格的二元交叉熵；'ce'：交叉熵（此时 weight 不要超过 1）
        # 'bce_mean': binary cross entropy over the bins; 'ce': cross entropy (then weight at most 1)
        form="bce_mean",
        # 总损失中的权重 / weight in the total loss
        weight=10.0,
    ),
    diffusion=dict(
        # 去噪的对象：'feature' BEV 特征（论文的形式）；'layout' BEV 地图，以真值为干净的一端
        # what is denoised: 'feature', the BEV feature, as published; 'layout', the BEV map, whose clean
        # side is the ground truth
        target="feature",
        # 'none'：对照组，同一网络，不加噪声 / 'none': the control, the same network without noise
        process="diffusion",
        # 以下四项仅用于 'layout'：也用网络自己的估计训练；按损失的类别权重校正采样时的估计；
        # 以上一步的估计作为网络的输入；模拟比特的幅度
        # for 'layout' alone: train on the network's own estimates too; correct the sampler's estimates for
        # the class weights of the loss; self-conditioning; amplitude of the analog bits
        aligned=True,
        calibrated=False,
        self_condition=False,
        amplitude=0.5,
        # 条件：'O' 原始 BEV 特征；'S' 由深度分布得到的语义特征；'O+S' 两者之和
        # condition: 'O' original BEV feature; 'S' semantic feature of the depth distribution; 'O+S' sum
        condition="S",
        # 加噪步数与噪声表：'linear' 或 'cosine' / length and shape of the noise schedule
        timesteps=1000,
        schedule="linear",
        # 网络预测噪声 'epsilon' 或速度 'v' / the network predicts the noise or the velocity
        prediction="epsilon",
        # 从 start * timesteps 处开始去噪 / denoising starts at start * timesteps
        start=0.3,
        # 训练与评估时的 DDIM 步数 / DDIM steps in training and in evaluation
        train_steps=1,
        steps=3,
        # 去噪结果的界限（标准差的倍数）/ limit of the denoised feature, in standard deviations
        clamp=4.0,
        # 用于 'feature'：对特征取反双曲正弦后再去噪，截断的能量更少
        # for 'feature': denoise its inverse hyperbolic sine, of which the limit cuts off less
        compress=False,
        # U-Net 三级的通道数、每级的残差块数、GroupNorm 组数 / channels, blocks and groups of the U-Net
        widths=(64, 128, 256),
        blocks=2,
        groups=32,
        # 条件是否也加入跳跃连接 / whether the condition also joins the skip connections
        condition_skips=False,
        # 加噪特征的编码方式：'conv' 或 'self_attn' / encoding of the noised feature
        xt_encoding="conv",
        fusion=dict(
            # 与原特征的融合：'cross_attn'、'concat' 或 'add' / how it joins the original feature
            type="cross_attn",
            heads=4,
            # 键与值按此边长取平均，1 为不取 / keys and values are averaged over squares of this side
            key_stride=1,
        ),
        # Ldiff 在总损失中的权重 / weight of Ldiff in the total loss
        weight=1.0,
    ),
)

# 深度监督需要 LiDAR 深度真值（prepare-depth）/ depth supervision needs LiDAR depth (prepare-depth)
data = dict(load_depth=True)
