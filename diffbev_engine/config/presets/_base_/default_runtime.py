# metrics.csv 与日志的间隔（迭代数）/ iterations between rows of metrics.csv and lines of the log
# hooks：同时写入 'tensorboard'、'wandb'、'swanlab' / hooks: also send them to these trackers
log_config = dict(interval=50, hooks=[])
# 多进程：有进程退出或停滞后，全部进程在此秒数内结束
# Several processes: seconds within which all end after one has ended or hangs
dist_params = dict(timeout=60.0)
# 从另一次训练的权重开始：其检查点或 .safetensors 文件的路径；None：不用
# Start from the weights of another run: the path of its checkpoint or .safetensors file; None: do not
load_from = None
# 混合精度：'bf16'、'fp16' 或 'fp32'（CPU 与较旧的 GPU 使用 'fp32'）
# Mixed precision: 'bf16', 'fp16' or 'fp32' ('fp32' for CPUs and older GPUs)
precision = "bf16"
# 'auto'：在 GPU 上以 CUDA graph 重放训练步；2,500 次迭代及以上的训练还会编译网络各模块
# 'off'：都不用
# 'head'、'all'：只用 torch.compile 编译解码头或整个网络
# 'auto': on a GPU the step is replayed as a CUDA graph; from 2,500 iterations on, blocks are compiled too
# 'off': neither
# 'head', 'all': torch.compile alone, for the head or the whole network
compile = "auto"
# 反向传播时重新计算激活的部分：'backbone'、'diffusion'、'head'；省显存，较慢，结果相同
# Parts whose activations are recomputed in the backward pass: less memory, slower, the same results
recompute = ()
# 随机种子 / random seed
seed = 0
# True：只使用确定性算子，较慢但逐位一致 / True: deterministic kernels only, slower but bit-identical
deterministic = False
