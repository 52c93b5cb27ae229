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
        # 去噪的对象：'layout' BEV 地图，以真值为干净的一端，从纯噪声采样；'feature' BEV 特征（论文的形式）
        # what is denoised: 'layout', the BEV map, with ground truth as the clean side, sampled from pure
        # noise; 'feature', the BEV feature, as published
        target="layout",
        # 'none'：对照组，同一网络，不加噪声 / 'none': the control, the same network without noise
        process="diffusion",
        # 以下四项仅用于 'layout'：也用网络自己的估计训练；按损失的类别权重校正采样时的估计；
        # 以上一步的估计作为网络的输入；模拟比特的幅度
        # for 'layout' alone: train on the network's own estimates too; correct the sampler's estimates for
        # the class weights of the loss; self-conditioning; amplitude of the analog bits
        aligned=True,
        calibrated=True,
        self_condition=True,
        amplitude=0.5,
        # 条件：'O' 原始 BEV 特征；'S' 由深度分布得到的语义特征；'O+S' 两者之和
        # condition: 'O' original BEV feature; 'S' semantic feature of the depth distribution; 'O+S' sum
        condition="O",
        # 加噪步数与噪声表：'linear' 或 'cosine' / length and shape of the noise schedule
        timesteps=1000,
        schedule="linear",
        # 用于 'feature'：网络预测噪声 'epsilon' 或速度 'v' / for 'feature': noise or velocity is predicted
        prediction="epsilon",
        # 用于 'feature'：从 start * timesteps 处开始 / for 'feature': denoising starts at start * timesteps
        start=0.3,
        # 训练（'feature'）与评估时的 DDIM 步数 / DDIM steps in training ('feature') and in evaluation
        train_steps=1,
        steps=5,
        # 用于 'feature'：结果的界限（标准差的倍数）/ for 'feature': limit, in standard deviations
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
            type="concat",
            # 用于 'cross_attn'：注意力头数；键与值按此边长取平均，1 为不取
            # for 'cross_attn': heads; keys and values are averaged over squares of this side
            heads=4,
            key_stride=1,
        ),
        # Ldiff 在总损失中的权重 / weight of Ldiff in the total loss
        weight=1.0,
    ),
)

# 深度监督需要 LiDAR 深度真值（prepare-depth）/ depth supervision needs LiDAR depth (prepare-depth)
data = dict(load_depth=True)
