# metrics.csv 与日志的间隔（迭代数）/ iterations between rows of metrics.csv and lines of the log
log_config = dict(interval=50)
# 计算精度：'bf16'、'fp16' 或 'fp32'（CPU 与旧显卡用 'fp32'）
# Arithmetic: 'bf16', 'fp16' or 'fp32' (for CPUs and older GPUs)
precision = "bf16"
# torch.compile：'off'、'head' 或 'all' / which parts are compiled: 'off', 'head' or 'all'
compile = "off"
# 随机种子 / random seed
seed = 0
# True：只用确定性算子，较慢但可逐位复现 / True: deterministic kernels only, slower, same numbers every run
deterministic = False
